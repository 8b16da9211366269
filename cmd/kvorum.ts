#!/usr/bin/env node
/**
 * The entry of the CLI. It looks at Node's version before anything else is loaded, because an older Node would stop at
 * syntax or a missing function with a message that helps nobody; and it lets Node keep what it compiled, which halves
 * the time until a node serves.
 */
import module from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`kvorum: ERR_CONFIG: Node 22.18 or newer is needed; this is ${process.version} (${process.execPath})`);
  process.exitCode = 1;
} else {
  // Beside the dependencies and not in a temporary directory that others can write to: what is in there is executed. Where
  // it cannot be written, Node does without.
  const dependency = fileURLToPath(import.meta.resolve('commander'));
  const dependencies = dependency.slice(0, dependency.lastIndexOf(`node_modules${path.sep}`));
  module.enableCompileCache(path.join(dependencies, 'node_modules', '.cache', 'kvorum'));
  const { main } = await import('./program.ts');
  await main(process.argv.slice(2));
}

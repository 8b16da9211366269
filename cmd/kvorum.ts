#!/usr/bin/env node
/**
 * The entry of the CLI. It looks at Node's version before anything else is loaded, because an older Node would stop at
 * syntax or a missing function with a message that helps nobody.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`kvorum: ERR_CONFIG: Node 22.18 or newer is needed; this is ${process.version} (${process.execPath})`);
  process.exitCode = 1;
} else {
  const { main } = await import('./program.ts');
  await main(process.argv.slice(2));
}

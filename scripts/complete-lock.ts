/**
 * Completes package-lock.json with the platform packages that npm left out: `npm run lock`, after every change of a dependency.
 *
 * npm writes only those optional packages into the lock that the registry in use could give it (and, with a filled
 * node_modules, only those of the own platform: npm/cli#4828); `npm ci` on another machine then refuses the lock as out of
 * sync. The parents pin these packages to an exact version, so the entry can be written without asking; only the
 * integrity is missing, which npm adds once it sees the package.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockEntry {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const SYSTEMS = new Set(['aix', 'android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']);
const PROCESSORS = new Set(['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64']);

/** `@scope/binding-linux-arm-musleabihf` → os linux, cpu arm, libc musl. */
function platformOf(name: string): { os: string[]; cpu: string[]; libc: Pick<LockEntry, 'libc'> } {
  const words = name.slice(name.indexOf('/') + 1).split('-');
  const os = words.find((word) => SYSTEMS.has(word));
  const cpu = words.find((word) => PROCESSORS.has(word));
  if (os === undefined || cpu === undefined) throw new Error(`no platform can be read from the name ${name}`);
  const libc = words.some((word) => word.startsWith('musl')) ? 'musl' : 'glibc';
  const told = os === 'linux' && words.some((word) => /^(?:musl|gnu)/.test(word));
  return { os: [os], cpu: [cpu], libc: told ? { libc: [libc] } : {} };
}

/** Whether Node would find `name` from the package at `path`. */
function resolves(packages: Record<string, LockEntry>, path: string, name: string): boolean {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    if (packages[`${at}/node_modules/${name}`] !== undefined) return true;
  }
  return packages[`node_modules/${name}`] !== undefined;
}

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, LockEntry> };
const added: string[] = [];
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (resolves(lock.packages, path, name)) continue;
    if (!/^\d+\.\d+\.\d+/.test(version))
      throw new Error(`${path} wants ${name}@${version}, which names no exact version`);
    const { cpu, libc, os } = platformOf(name);
    const dev = entry.dev === true ? { dev: true } : {};
    // In the order of keys that npm writes, so that npm does not rewrite the file.
    lock.packages[`node_modules/${name}`] = { version, cpu, ...dev, ...libc, optional: true, os };
    added.push(`${name}@${version}`);
  }
}
const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
console.log(added.length === 0 ? 'the lock was complete' : `added to the lock:\n  ${added.join('\n  ')}`);

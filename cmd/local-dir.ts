/** What `kvorum local` keeps on disk beside the nodes' own data: how the cluster was laid out, and its secret. */
import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { KvorumError } from '../src/errors.ts';

export interface LocalCluster {
  /**
   * Everything of this cluster is in here. Not the data directory itself but one below it: `startNode()` without options
   * keeps a cluster of one in `.kvorum/n1`, which must not be taken for a member of this one.
   */
  readonly home: string;
  readonly nodes: number;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly secretFile: string;
}

export interface LocalRequest {
  readonly dataDir: string;
  /** Undefined: what is there already, or the default. */
  readonly nodes: number | undefined;
  readonly httpPort: number | undefined;
  readonly peerPort: number | undefined;
}

interface Layout {
  readonly nodes: number;
  readonly httpPort: number;
  readonly peerPort: number;
}

const DEFAULT_LAYOUT: Layout = { nodes: 3, httpPort: 7101, peerPort: 7201 };
const HOST = '127.0.0.1';

/**
 * Finds or makes the cluster's directory. The number of nodes and the peer ports are fixed when it is made: the members
 * know each other by them.
 * @throws KvorumError ERR_CONFIG
 */
export function prepareCluster(request: LocalRequest): LocalCluster {
  const home = path.join(request.dataDir, 'local');
  const found = readLayout(home);
  for (const key of ['nodes', 'peerPort'] as const) {
    if (found !== null && request[key] !== undefined && request[key] !== found[key]) {
      const what = key === 'nodes' ? '--nodes' : '--peer-port';
      throw new KvorumError(
        'ERR_CONFIG',
        `${what}: ${home} holds a cluster of ${found.nodes} with peer ports from ${found.peerPort}, not ${request[key]}; ` +
          'leave the option out, or give another --data-dir',
      );
    }
  }
  const base = found ?? DEFAULT_LAYOUT;
  const layout: Layout = {
    nodes: request.nodes ?? base.nodes,
    httpPort: request.httpPort ?? base.httpPort,
    peerPort: request.peerPort ?? base.peerPort,
  };
  checkPortRange('--http-port', layout.httpPort, layout.nodes);
  checkPortRange('--peer-port', layout.peerPort, layout.nodes);
  if (Math.abs(layout.httpPort - layout.peerPort) < layout.nodes) {
    throw new KvorumError(
      'ERR_CONFIG',
      `--http-port ${layout.httpPort} and --peer-port ${layout.peerPort} overlap: each needs ${layout.nodes} ports in a row`,
    );
  }
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new KvorumError('ERR_CONFIG', `--data-dir: ${(error as Error).message}`, { cause: error });
  }
  return { home, ...layout, secretFile: path.join(home, 'secret') };
}

/** Called once nothing speaks against a start: from here on the directory belongs to this layout and this process. */
export function claimCluster(cluster: LocalCluster): void {
  const { nodes, httpPort, peerPort } = cluster;
  const file = layoutFile(cluster.home);
  writeFileSync(`${file}.new`, `${JSON.stringify({ nodes, httpPort, peerPort })}\n`);
  renameSync(`${file}.new`, file);
  writeFileSync(pidFile(cluster.home), `${process.pid}\n`);
  if (existsSync(cluster.secretFile)) return;
  const fresh = `${cluster.secretFile}.${process.pid}`;
  writeFileSync(fresh, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
  try {
    // A link instead of a rename: of two that start at the same moment, both end up with the secret of the first.
    linkSync(fresh, cluster.secretFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(fresh);
  }
}

export function releaseCluster(cluster: LocalCluster): void {
  if (runningPid(cluster.home) === process.pid) rmSync(pidFile(cluster.home), { force: true });
}

/**
 * Looks at every port before anything is started, because a message that names the option is worth more than a node that
 * fails behind it.
 * @throws KvorumError ERR_DATA_DIR_IN_USE, ERR_ADDRESS_IN_USE
 */
export async function checkPorts(cluster: LocalCluster): Promise<void> {
  for (const [flag, first] of [
    ['--http-port', cluster.httpPort],
    ['--peer-port', cluster.peerPort],
  ] as const) {
    for (let port = first; port < first + cluster.nodes; port++) {
      const problem = await tryPort(port);
      if (problem === null) continue;
      // The ports of a directory are fixed, so a port that is taken while its last owner lives means a second start. (A
      // process id alone proves nothing after a crash: it may have been given to another process.)
      const pid = runningPid(cluster.home);
      if (pid !== null && problem.code === 'EADDRINUSE') {
        throw new KvorumError('ERR_DATA_DIR_IN_USE', `${cluster.home} is in use by another kvorum local, pid ${pid}`);
      }
      throw new KvorumError(
        problem.code === 'EADDRINUSE' ? 'ERR_ADDRESS_IN_USE' : 'ERR_CONFIG',
        `${flag}: port ${port} ${problem.code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${problem.code})`}; ` +
          `choose another ${flag}` +
          (flag === '--peer-port' ? ' with another --data-dir' : ''),
        { cause: problem },
      );
    }
  }
}

async function tryPort(port: number): Promise<NodeJS.ErrnoException | null> {
  return await new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', resolve);
    server.listen({ host: HOST, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function checkPortRange(flag: string, first: number, nodes: number): void {
  if (first + nodes - 1 <= 65_535) return;
  throw new KvorumError('ERR_CONFIG', `${flag}: ${nodes} ports from ${first} go beyond 65535`);
}

function layoutFile(home: string): string {
  return path.join(home, 'cluster.json');
}

function pidFile(home: string): string {
  return path.join(home, 'pid');
}

function readLayout(home: string): Layout | null {
  let text: string;
  try {
    text = readFileSync(layoutFile(home), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new KvorumError('ERR_CONFIG', `--data-dir: ${(error as Error).message}`, { cause: error });
  }
  try {
    const layout = JSON.parse(text) as Layout;
    const { nodes, httpPort, peerPort } = layout;
    if ([nodes, httpPort, peerPort].every((number) => Number.isSafeInteger(number))) return layout;
  } catch {
    // Falls through to the message below, which says all there is to say.
  }
  throw new KvorumError('ERR_CORRUPT', `${layoutFile(home)} is not what kvorum local wrote there`);
}

/** Process id of the last owner, if it is still alive. */
function runningPid(home: string): number | null {
  try {
    const pid = Number(readFileSync(pidFile(home), 'utf8').trim());
    if (!Number.isSafeInteger(pid) || pid <= 0) return null;
    process.kill(pid, 0);
    return pid;
  } catch {
    // No file, or no such process.
    return null;
  }
}

/**
 * How the nodes of `kvorum local` live and end.
 *
 * They are in the process group of this one, so a Ctrl-C reaches them too, and each has a pipe from here as standard
 * input, whose end asks it to stop: when this process asks, and when it is killed. Asking that way is harmless twice, which
 * a second signal is not.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { Child, type Ready } from './child.ts';
import { EXIT, type ExitCode } from './exit.ts';
import {
  checkPorts,
  claimCluster,
  prepareCluster,
  releaseCluster,
  type LocalCluster,
  type LocalRequest,
} from './local-dir.ts';
import type { LogLevel } from './log.ts';
import { listenForStop } from './shutdown.ts';

export interface LocalOptions extends LocalRequest {
  readonly logLevel: LogLevel;
  readonly json: boolean;
}

/** Longest graceful stop of a child: its drain, and slack for a loaded machine. Then it is killed. */
const STOP_TIMEOUT_MS = 10_000;
const STILL_WAITING_MS = 10_000;
const TAIL_POLL_MS = 200;
const LAST_LINES = 5;
/** A child that exits with 0 was asked to: by a Ctrl-C that this process is about to hear of as well. */
const CTRL_C_SKEW_MS = 250;

export async function runLocal(options: LocalOptions): Promise<ExitCode> {
  const cluster = prepareCluster(options);
  await checkPorts(cluster);
  if (cluster.nodes % 2 === 0) {
    const { nodes } = cluster;
    say(`${nodes} nodes survive no more failures than ${nodes - 1}, and need one more for a majority`);
  }
  const names = Array.from({ length: cluster.nodes }, (_, index) => `n${index + 1}`);
  const fresh = names.every((name) => !existsSync(path.join(cluster.home, name)));
  claimCluster(cluster);

  const stop = new AbortController();
  let failed = false;
  let announced = false;
  const children: Child[] = [];
  const ask = listenForStop({
    stop: () => stop.abort(),
    force: () => {
      say('killing all nodes');
      for (const child of children) child.kill();
      process.exit(EXIT.failure);
    },
  });
  for (const [index, name] of names.entries()) {
    children.push(new Child(name, cluster.home, startArguments(cluster, names, index, options)));
  }

  const onExit = (child: Child, how: string): void => {
    if (stop.signal.aborted) return;
    const living = children.filter(({ alive }) => alive).length;
    say(`${child.name} ${how}; its last lines, of ${relative(child.logFile)}:`);
    for (const line of child.lastLines(LAST_LINES)) console.error(`  ${line}`);
    // A node that dies while others run is news, not the end, unless the cluster cannot come to be without it.
    if (living === 0 || (fresh && !announced)) {
      failed = true;
      ask('a node that died');
      return;
    }
    const enough = living > cluster.nodes / 2 ? '' : ', too few to accept writes';
    say(`${living} of ${cluster.nodes} nodes go on${enough}; Ctrl-C and start again to bring ${child.name} back`);
  };
  for (const child of children) {
    void child.exited.then((how) => {
      if (how === 'stopped') setTimeout(() => onExit(child, how), CTRL_C_SKEW_MS);
      else onExit(child, how);
    });
  }
  const tail = setInterval(() => {
    for (const child of children) {
      for (const line of child.newWarnings()) {
        // While nodes come and go they miss each other; the log files have it all.
        if (announced && !stop.signal.aborted) console.error(line);
      }
    }
  }, TAIL_POLL_MS);
  const stillWaiting = setTimeout(() => {
    for (const child of children.filter(({ alive, info }) => alive && info === null)) {
      say(`still waiting for ${child.name}; its log is ${relative(child.logFile)}`);
    }
  }, STILL_WAITING_MS);
  void Promise.all(children.map(async (child) => await Promise.race([child.ready, child.exited]))).then(() => {
    clearTimeout(stillWaiting);
    const ready = children.map(({ alive, info }) => (alive ? info : null)).filter((info) => info !== null);
    if (stop.signal.aborted || ready.length === 0) return;
    announced = true;
    announce(cluster, ready, options.json);
  });

  if (!stop.signal.aborted) await once(stop.signal, 'abort');
  clearTimeout(stillWaiting);
  say('stopping …');
  for (const child of children) child.askToStop();
  const killer = setTimeout(() => {
    for (const child of children.filter(({ alive }) => alive)) {
      say(`${child.name} did not stop within ${STOP_TIMEOUT_MS / 1000} s and is killed`);
      failed = true;
      child.kill();
    }
  }, STOP_TIMEOUT_MS);
  await Promise.all(children.map(async (child) => await child.exited));
  clearTimeout(killer);
  clearInterval(tail);
  for (const child of children) child.close();
  releaseCluster(cluster);
  say(`all nodes have stopped; their data is in ${relative(cluster.home)}`);
  return failed ? EXIT.failure : EXIT.ok;
}

function startArguments(
  cluster: LocalCluster,
  names: readonly string[],
  index: number,
  options: LocalOptions,
): string[] {
  const name = names[index] ?? '';
  const peers = names.map((peer, position) => `${peer}=127.0.0.1:${cluster.peerPort + position}`);
  return [
    ['--name', name],
    ['--data-dir', path.join(cluster.home, name)],
    ['--listen', `127.0.0.1:${cluster.peerPort + index}`],
    ['--http', `127.0.0.1:${cluster.httpPort + index}`],
    ['--initial-cluster', peers.join(',')],
    ['--secret-file', cluster.secretFile],
    ['--log-level', options.logLevel],
    ['--log-format', 'json'],
    ['--output', 'json'],
    ['--stop-on-stdin-end'],
  ].flat();
}

function announce(cluster: LocalCluster, ready: readonly Ready[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ event: 'ready', dataDir: cluster.home, nodes: ready }));
    return;
  }
  const first = ready[0]?.url ?? '';
  const last = ready.at(-1)?.url ?? '';
  const kvorum = invocation();
  const endpoints = ready.map(({ url }) => url).join(',');
  const lines: [string, string][] = [
    [`curl -X PUT ${first}/v1/kv/hello -d world`, 'write through one node'],
    [`curl ${last}/v1/kv/hello`, 'read through another'],
    ...(cluster.httpPort === 7101 && cluster.nodes === 3
      ? []
      : [[`export KVORUM_ENDPOINTS=${endpoints}`, ''] as [string, string]]),
    [`${kvorum} put hello again`, 'the same from the command line'],
    [`${kvorum} get hello`, ''],
    [`${kvorum} status`, 'who leads'],
    [`${kvorum} watch`, 'whatever changes; put something meanwhile'],
    [`${kvorum} lock demo -- sleep 20`, 'a command under a lock; try it twice'],
    [`kill -9 ${ready[0]?.pid}`, 'kill a node, then write and read again'],
  ];
  const width = Math.max(...lines.filter(([line]) => line.length < 72).map(([line]) => line.length));
  console.log(`
${ready.length === 1 ? 'One node is' : `${ready.length} nodes are`} ready:

${ready.map(({ name, url, pid }) => `  ${name}  ${url}  (pid ${pid})`).join('\n')}

Try, in another terminal:

${lines.map(([line, what]) => `  ${line.padEnd(width)}  ${what === '' ? '' : `# ${what}`}`.trimEnd()).join('\n')}

HTTP API: ${first}/docs    Logs: ${relative(cluster.home)}/*.log    Ctrl-C stops all nodes.
`);
}

/** How this program is called where it stands: by npm in a checkout, by name once it is installed. */
function invocation(): string {
  if (!import.meta.filename.endsWith('.ts')) return process.env['npm_command'] === 'exec' ? 'npx kvorum' : 'kvorum';
  const root = path.dirname(import.meta.dirname);
  return process.cwd() === root ? 'npm run -s kvorum --' : `node ${path.join(import.meta.dirname, 'kvorum.ts')}`;
}

/** Relative to the working directory where that is shorter. */
function relative(file: string): string {
  const short = path.relative('', file);
  return short.startsWith('..') ? file : short;
}

function say(message: string): void {
  console.error(`kvorum: ${message}`);
}

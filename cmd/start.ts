/** `kvorum start`: one node in the foreground. */
import module from 'node:module';

import type { HttpOptions, KvorumNode, Limits, NodeOptions, StoreSettings, Timing } from '../src/node/types.ts';
import { CONFIG_OPTION, type CommandDeclaration } from './command.ts';
import { EXIT, reportError, UsageError, type ExitCode } from './exit.ts';
import { JOIN_OPTIONS, joinOptions } from './joining.ts';
import { option, type Options, type Values } from './options.ts';
import {
  bytes,
  duration,
  filePath,
  flag,
  hostPort,
  integer,
  members,
  metadata,
  nodeName,
  oneOf,
  showHostPort,
  text,
  type HostPort,
  type Parse,
} from './parse.ts';
import { readSecret, readToken } from './secret.ts';

/** How often a node that started is asked whether it is ready. */
const READY_POLL_MS = 10;

const httpAddress: Parse<HostPort | 'off'> = (value, context) => {
  if (value === 'off') return 'off';
  try {
    return hostPort({ minPort: 0 })(value, context);
  } catch (error) {
    throw new Error(`${(error as Error).message}, or off`, { cause: error });
  }
};

const LIMITS = 'Limits:';
const TIMING = 'Timing (the same on every node):';

const OPTIONS = {
  name: option({
    flags: '--name <name>',
    description: 'name of the node, unique in its cluster',
    parse: nodeName,
    fallback: 'n1',
    shown: 'n1',
  }),
  dataDir: option({
    flags: '--data-dir <dir>',
    description: 'where the node keeps its data',
    parse: filePath,
    fallback: undefined,
    shown: '.kvorum/<name>',
  }),
  listen: option({
    flags: '--listen <host:port>',
    description: 'address of the peer port, where the other nodes reach this one',
    parse: hostPort({ minPort: 0 }),
    fallback: undefined,
    shown: 'its own in --initial-cluster, else 127.0.0.1 and a free port',
  }),
  http: option({
    flags: '--http <host:port>',
    description: 'address of the HTTP API, or off',
    parse: httpAddress,
    fallback: { host: '127.0.0.1', port: 7101 } as const,
    shown: '127.0.0.1:7101',
  }),
  initialCluster: option({
    flags: '--initial-cluster <members>',
    description: 'name=host:port of every first member, this one included; ignored once the data directory is in use',
    parse: members,
    fallback: undefined,
    shown: 'a cluster of one',
  }),
  metadata: option({
    flags: '--metadata <name=value,...>',
    description: 'what the node says of itself to whoever asks for the members',
    parse: metadata,
    fallback: undefined,
    shown: 'nothing',
  }),
  secretFile: option({
    flags: '--secret-file <file>',
    description: 'file with the secret that the members share (16 bytes or more); the secret may be in KVORUM_SECRET',
    parse: filePath,
    fallback: undefined,
  }),
  httpTokenFile: option({
    flags: '--http-token-file <file>',
    description: 'file with the bearer token that HTTP requests must carry; the token may be in KVORUM_HTTP_TOKEN',
    parse: filePath,
    fallback: undefined,
    shown: 'none is asked for',
  }),
  corsOrigin: option({
    flags: '--cors-origin <origin>',
    description: 'web origin that may call the HTTP API',
    parse: text,
    fallback: undefined,
    shown: 'none',
  }),
  drainTimeout: option({
    flags: '--drain-timeout <duration>',
    description: 'how long requests may go on when the node stops',
    parse: duration(0, 600_000),
    fallback: 2000,
    shown: '2s',
  }),
  stopOnStdinEnd: option({
    flags: '--stop-on-stdin-end',
    description: 'stop when standard input ends: for a parent that must not leave nodes behind',
    parse: flag,
    fallback: false,
  }),
  logLevel: option({
    flags: '--log-level <level>',
    description: 'debug, info, warn, error or silent',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
    fallback: 'info' as const,
    shown: 'info',
  }),
  logFormat: option({
    flags: '--log-format <format>',
    description: 'text or json, on standard error',
    parse: oneOf('text', 'json'),
    fallback: undefined,
    shown: 'text on a terminal, else json',
  }),
  output: option({
    flags: '-o, --output <format>',
    description: 'form of the one line on standard output when the node is ready: text or json',
    parse: oneOf('text', 'json'),
    fallback: 'text' as const,
    shown: 'text',
  }),
  ...CONFIG_OPTION,
  ...JOIN_OPTIONS,
  maxKeyBytes: limit('--max-key-bytes <size>', 'largest key', '4KiB', 1, 65_536),
  maxValueBytes: limit('--max-value-bytes <size>', 'largest value', '1MiB', 1, 8 * 1024 ** 2),
  maxUncommittedBytes: limit('--max-uncommitted-bytes <size>', 'proposed, not yet committed', '64MiB', 1024, 1024 ** 3),
  maxOverlayBytes: limit('--max-overlay-bytes <size>', 'applied, not yet in the store', '32MiB', 1024, 1024 ** 3),
  logKeepBytes: limit(
    '--log-keep-bytes <size>',
    'log kept for members that fall behind',
    '64MiB',
    1024,
    64 * 1024 ** 3,
  ),
  quota: option({
    flags: '--quota <size>',
    description: 'what keys, values and history may take; the same for all members, 0 for no limit',
    parse: bytes(0, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    shown: '2GiB',
    group: LIMITS,
  }),
  keepHistory: option({
    flags: '--keep-history <duration>',
    description: 'how long old versions are kept; the same for all members, 0 for no limit by time',
    parse: duration(0, 365 * 86_400_000),
    fallback: undefined,
    shown: '24h',
    group: LIMITS,
  }),
  keepRevisions: option({
    flags: '--keep-revisions <n>',
    description: 'for how many revisions old versions are kept; the same for all members',
    parse: integer(0, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    shown: '100000',
    group: LIMITS,
  }),
  maxPending: option({
    flags: '--max-pending <n>',
    description: 'writes and reads that wait for their answer',
    parse: integer(1, 1_000_000),
    fallback: undefined,
    shown: '16384',
    group: LIMITS,
  }),
  maxInflightRequests: option({
    flags: '--max-inflight-requests <n>',
    description: 'HTTP requests at a time; more are shed with 503',
    parse: integer(1, 1_000_000),
    fallback: undefined,
    group: LIMITS,
  }),
  heartbeat: timing('--heartbeat <duration>', 'the leader shows itself this often', '100ms', 1),
  electionTimeout: timing('--election-timeout <duration>', 'silence of the leader until an election', '1s', 10),
  crashHint: timing('--crash-hint <duration>', 'longest wait before an election once the leader is gone', '50ms', 0),
  tick: timing('--tick <duration>', 'grain of the clock', '10ms', 1),
} satisfies Options;

function limit(flags: string, what: string, shown: string, min: number, max: number) {
  return option({ flags, description: what, parse: bytes(min, max), fallback: undefined, shown, group: LIMITS });
}

function timing(flags: string, what: string, shown: string, min: number) {
  return option({ flags, description: what, parse: duration(min, 600_000), fallback: undefined, shown, group: TIMING });
}

type StartValues = Values<typeof OPTIONS>;

export const start: CommandDeclaration<typeof OPTIONS> = {
  name: 'start',
  summary: 'run one node in the foreground',
  description:
    'Run one node in the foreground. Without --initial-cluster and --join it is a cluster of one.\n' +
    'SIGTERM or SIGINT stops it: it hands over leadership, drains and exits with 0; a second one forces the exit.',
  args: [],
  isNode: true,
  options: OPTIONS,
  examples: [
    ['kvorum start', 'a cluster of one, data in .kvorum/n1'],
    ['kvorum start --config /etc/kvorum.json', 'options from a file'],
  ],
  notes: `A cluster of three, on three machines with the same secret file:
  kvorum start --name n1 --data-dir /var/lib/kvorum --secret-file /etc/kvorum.secret \\
    --initial-cluster n1=10.0.0.1:7201,n2=10.0.0.2:7201,n3=10.0.0.3:7201

A fourth machine joins while they run, and one takes the place of n2:
  kvorum start --name n4 --data-dir /var/lib/kvorum --secret-file /etc/kvorum.secret \\
    --listen 10.0.0.4:7201 --join 10.0.0.1:7201,10.0.0.3:7201
  kvorum start --name n5 --data-dir /var/lib/kvorum --secret-file /etc/kvorum.secret \\
    --listen 10.0.0.5:7201 --join 10.0.0.1:7201,10.0.0.3:7201 --replace n2

Every option is also an environment variable, and a key of the config file in camel case:
  {"name": "n1", "dataDir": "/var/lib/kvorum", "electionTimeout": "2s"}
A flag goes before the environment, the environment before the file.`,
  run: async ({ args, values }) => {
    if (args.length > 0) throw new UsageError(`unexpected argument "${args[0]}"`);
    return await runNode(values);
  },
};

async function runNode(values: StartValues): Promise<ExitCode> {
  const options = nodeOptions(values);
  const { createLogger } = await import('./log.ts');
  const { askWhenStdinEnds, listenForStop } = await import('./shutdown.ts');
  const format = values.logFormat ?? (process.stderr.isTTY ? 'text' : 'json');
  const nodeLogger = createLogger({ level: values.logLevel, format });
  const logger = nodeLogger.child({ node: values.name });

  const controller = new AbortController();
  const asked = new Promise<string>((resolve) => {
    const ask = listenForStop({
      stop: (reason) => {
        logger.info({ reason }, 'stopping');
        controller.abort(new Error(`stopped by ${reason}`));
        resolve(reason);
      },
      force: (reason) => {
        logger.error({ reason }, 'stopped by force');
        process.exit(EXIT.failure);
      },
    });
    if (values.stopOnStdinEnd) askWhenStdinEnds(ask);
  });
  const crash = (error: unknown): void => {
    logger.error({ err: error }, 'uncaught error');
    reportError(error, { stack: true });
    process.exit(EXIT.failure);
  };
  process.on('uncaughtException', crash).on('unhandledRejection', crash);

  const { startNode } = await import('../src/index.ts');
  // Now, because a node that is killed writes nothing at its exit; it takes time only when there is something new.
  module.flushCompileCache();
  let node: KvorumNode;
  try {
    node = await startNode({ ...options, logger: nodeLogger, signal: controller.signal });
  } catch (error) {
    if (controller.signal.aborted) return EXIT.ok;
    throw error;
  }
  announceWhenReady(node, values, controller.signal);
  const end = await Promise.race([asked, node.failed]);
  if (typeof end !== 'string') {
    logger.error({ err: end }, 'the node stopped by itself');
    reportError(end, { stack: values.logLevel === 'debug', advice: true });
    return EXIT.failure;
  }
  await node.close({ drainTimeoutMs: values.drainTimeout });
  logger.info({}, 'stopped');
  return EXIT.ok;
}

/** @throws KvorumError ERR_CONFIG */
function nodeOptions(values: StartValues): NodeOptions {
  const { initialCluster, name } = values;
  if (initialCluster !== undefined && !Object.hasOwn(initialCluster, name)) {
    throw new UsageError(`--initial-cluster does not name this node, ${name} (see --name)`);
  }
  const secret = readSecret(values.secretFile, process.env);
  if (secret === undefined && initialCluster !== undefined && Object.keys(initialCluster).length > 1) {
    throw new UsageError('a cluster of several members needs a secret: --secret-file FILE or KVORUM_SECRET');
  }
  const token = readToken(values.httpTokenFile, process.env);
  return {
    name,
    ...defined({
      dataDir: values.dataDir,
      listen: values.listen === undefined ? undefined : showHostPort(values.listen),
      initialCluster,
      secret,
      metadata: values.metadata,
    }),
    ...joinOptions(values, process.env),
    http: values.http === 'off' ? false : httpOptions(values, values.http, token),
    limits: defined<Partial<Limits>>({
      maxKeyBytes: values.maxKeyBytes,
      maxValueBytes: values.maxValueBytes,
      maxUncommittedBytes: values.maxUncommittedBytes,
      maxOverlayBytes: values.maxOverlayBytes,
      maxPending: values.maxPending,
      logKeepBytes: values.logKeepBytes,
    }),
    store: defined<Partial<StoreSettings>>({
      keepRevisions: values.keepRevisions,
      keepMs: values.keepHistory,
      quotaBytes: values.quota,
    }),
    timing: defined<Partial<Timing>>({
      tickMs: values.tick,
      heartbeatMs: values.heartbeat,
      electionTimeoutMs: values.electionTimeout,
      crashHintMs: values.crashHint,
    }),
  };
}

function httpOptions(values: StartValues, address: HostPort, token: string | undefined): HttpOptions {
  return {
    host: address.host,
    port: address.port,
    ...defined({ token, corsOrigin: values.corsOrigin, maxInflightRequests: values.maxInflightRequests }),
  };
}

/** Without the members that are undefined: an absent option and an undefined one are not the same to a node. */
function defined<T extends object>(options: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** The one line on standard output, once the node knows a leader and is caught up. */
function announceWhenReady(node: KvorumNode, values: StartValues, signal: AbortSignal): void {
  const timer = setInterval(() => {
    if (signal.aborted) clearInterval(timer);
    if (signal.aborted || !node.readiness().ready) return;
    clearInterval(timer);
    const { name, id, clusterId, url, address } = node;
    console.log(
      values.output === 'json'
        ? JSON.stringify({ event: 'ready', name, id, clusterId, url, address, pid: process.pid })
        : `${name} is ready: ${url ?? 'no HTTP API'} (peers ${address}, pid ${process.pid})`,
    );
  }, READY_POLL_MS);
}

/** The thread that a node runs in: `startNode({ isolate: true })` starts it. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { startNode } from '../index.ts';
import { realEnvironment } from '../node/env.ts';
import { ANSWER, METHOD, STATE_ID } from '../node/remote/protocol.ts';
import { Session } from '../node/remote/session.ts';
import { Turns } from '../node/remote/turns.ts';
import type { KvorumNode, Logger } from '../node/types.ts';
import {
  joined,
  plainError,
  type FromWorker,
  type LogLevel,
  type State,
  type ToWorker,
  type WorkerData,
} from './messages.ts';

/** What `cluster()` and `readiness()` say in the other thread is at most so old. */
const STATE_EVERY_MS = 100;

interface Metrics {
  readonly contentType: string;
  metrics(): Promise<string>;
}

async function run(port: MessagePort, { options, log }: WorkerData): Promise<void> {
  const tell = (message: FromWorker): void => port.postMessage(message);
  const given = new AbortController();
  const onMessage = (message: ToWorker): void => {
    if (message instanceof Uint8Array) session?.frame(message);
    else given.abort(new Error('the start was given up'));
  };
  let session: Session | null = null;
  port.on('message', onMessage);
  let node: KvorumNode;
  try {
    node = await startNode({
      ...options,
      signal: given.signal,
      ...(log && { logger: loggerTo(tell) }),
    });
  } catch (error) {
    tell({ type: 'refused', error: plainError(error) });
    port.close();
    return;
  }
  session = serve(port, node);
  const { name, id, clusterId, address, url, limits } = node;
  const metrics = node.registry as Metrics;
  tell({
    ...{ type: 'started', name, id, clusterId, address, url, limits },
    ...{ head: node.head(), metricsType: metrics.contentType, state: stateOf(node) },
  });
  void node.failed.then((error) => tell({ type: 'failed', error: plainError(error) }));
}

function serve(port: MessagePort, node: KvorumNode): Session {
  const turns = new Turns(realEnvironment);
  let told = '';
  const tellState = (): void => {
    const state = stateOf(node);
    const text = JSON.stringify(state);
    if (text === told) return;
    told = text;
    session.push([STATE_ID, ANSWER.item, state], text.length);
  };
  const watcher = setInterval(tellState, STATE_EVERY_MS);
  const session = new Session({
    node,
    maxInflight: node.limits.maxPending,
    send: (parts) => {
      const frame = joined(parts);
      port.postMessage(frame, [frame.buffer]);
      return true;
    },
    // Streams have no more under way than their credit.
    room: () => true,
    overflow: () => undefined,
    later: (task) => turns.later(task),
    own: new Map<number, (a: readonly unknown[]) => Promise<unknown>>([
      [
        METHOD.dhtHost,
        async (a) => {
          const [, , service, instance, said] = a as [number, number, string, string, string | null];
          await node.dht.host(service, instance, said ?? null);
          return null;
        },
      ],
      [METHOD.metrics, () => (node.registry as Metrics).metrics()],
      [
        METHOD.close,
        async ([, , drainTimeoutMs]) => {
          const closing = node.close(typeof drainTimeoutMs === 'number' ? { drainTimeoutMs } : {});
          tellState();
          try {
            await closing;
          } finally {
            clearInterval(watcher);
            // The answer leaves first; then nothing holds this thread any more.
            setImmediate(() => port.close());
          }
          return null;
        },
      ],
    ]),
  });
  return session;
}

function stateOf(node: KvorumNode): State {
  return { cluster: node.cluster(), readiness: node.readiness() };
}

function loggerTo(tell: (message: FromWorker) => void): Logger {
  const level =
    (name: LogLevel) =>
    (fields: object, message: string): void => {
      const plain = Object.fromEntries(
        (Object.entries(fields) as [string, unknown][]).map(([key, field]) => [
          key,
          field instanceof Error ? { ...plainError(field) } : field,
        ]),
      );
      try {
        tell({ type: 'log', level: name, fields: plain, message });
      } catch {
        // DataCloneError: something in the fields cannot be posted.
        tell({ type: 'log', level: name, fields: { unreadable: Object.keys(fields) }, message });
      }
    };
  return { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') };
}

if (parentPort === null) throw new Error('this is the thread of a node: startNode({ isolate: true }) starts it');
await run(parentPort, workerData as WorkerData);

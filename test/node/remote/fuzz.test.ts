/** Frames that no honest peer sends: they are refused, and nothing else happens. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { KvorumError } from '../../../src/errors.ts';
import { startNode } from '../../../src/index.ts';
import type { KvorumNode } from '../../../src/index.ts';
import { ANSWERS, encodeFrame, METHOD, REQUESTS } from '../../../src/node/remote/protocol.ts';
import { Requester } from '../../../src/node/remote/requester.ts';
import { Session } from '../../../src/node/remote/session.ts';
import { wireTo } from './wire.ts';

let directory: string;
let node: KvorumNode;
let stopped: Error | null = null;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvorum-fuzz-'));
  node = await startNode({ dataDir: directory });
  void node.failed.then((error) => {
    stopped = error;
  });
});

afterAll(async () => {
  await node.close();
  await rm(directory, { recursive: true, force: true });
});

const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function session(): Session {
  return new Session({
    node,
    send: () => true,
    room: () => true,
    overflow: () => {},
    later: (task) => void setImmediate(task),
  });
}

/** What a frame handler may throw. */
function refused(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    expect(['ERR_INVALID_ARGUMENT', 'ERR_WRONG_PROTOCOL']).toContain(error.code);
  }
}

async function alive(): Promise<void> {
  const { remote } = wireTo(node);
  await remote.put('alive', 'yes');
  expect(new TextDecoder().decode((await remote.get('alive')).entry?.value)).toBe('yes');
  expect(stopped).toBeNull();
}

const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, undefined, '', 'a', 'name', '=', 'lease', 'put', -1, 0, 1, 2 ** 40, NaN),
  fc.integer(),
  fc.double(),
  fc.string(),
  fc.uint8Array({ maxLength: 20 }),
);
const names = [
  'timeoutMs',
  'once',
  'lease',
  'ttlMs',
  'waitMs',
  'owner',
  'prefix',
  'key',
  'start',
  'end',
  'limit',
  'from',
  'name',
  'peerId',
  'address',
  'replaces',
  'role',
];
const more = ['if', 'then', 'else', 'put', 'delete', 'get', 'range', 'target', 'operator', 'value', 'lock', 'prev'];
const anything = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...names, ...more), fc.string()), tie('value'), { maxKeys: 4 }),
  ),
})).value;

// `close` and the like belong to the owner of a node, and are not in the tables of a client.
const methods = [...Object.values(METHOD), 3, 15, 99, 255, -1, 1.5];

test('requests of any shape are answered or refused, and the node goes on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.tuple(fc.integer({ min: 1, max: 50 }), fc.constantFrom(...methods), fc.array(anything, { maxLength: 8 })),
      ),
      async (requests) => {
        const one = session();
        refused(() =>
          one.frame(
            joined(
              encodeFrame(
                REQUESTS,
                requests.map(([id, method, rest]) => [id, method, ...rest]),
              ),
            ),
          ),
        );
        await new Promise(setImmediate);
        one.close();
      },
    ),
    { numRuns: 400 },
  );
  await alive();
});

test('bytes of any kind, and honest frames with bytes changed, do no harm on either side', async () => {
  const requests = joined(
    encodeFrame(REQUESTS, [
      [1, METHOD.put, 'fuzz/key', 'value', 1000, 'text/plain', ['1', 2, 1], null, 5, true],
      [2, METHOD.get, 'fuzz/key', 1000],
      [3, METHOD.txn, { if: [], then: [{ put: { key: 'fuzz/a', value: 'b' } }], else: [] }, { timeoutMs: 1000 }],
      [4, METHOD.lockAcquire, 'fuzz', { ttlMs: 1000, waitMs: 10, owner: '{"a":1}' }],
      [5, METHOD.watch, 10, 1000, { prefix: 'fuzz/' }],
      [5, METHOD.credit, 10, 1000],
      [6, METHOD.electionObserve, 10, 'fuzz', null],
      [6, METHOD.cancel],
    ]),
  );
  const answers = joined(
    encodeFrame(ANSWERS, [
      ...[7, 3],
      [1, 0, 7, true, null, ['k', new Uint8Array(3), 1, 2, 3, null, null]],
      [2, 1, 'ERR_CAS_FAILED', 'no', true, { current: null }],
      [3, 2, 9],
      [[3], 3, joined([new Uint8Array([0x93, 9, 0xc2, 0x92, 0, 0x90])])],
      [3, 4],
    ]),
  );
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 });
  const mutated = (frame: Uint8Array) =>
    fc.tuple(changes, fc.nat(frame.length)).map(([edits, cut]) => {
      const copy = frame.slice(0, frame.length - (cut % 3 === 0 ? cut : 0));
      for (const [at, byte] of edits) if (copy.length > 2) copy[2 + (at % (copy.length - 2))] = byte;
      return copy;
    });
  const framed = (kind: number) =>
    fc.uint8Array({ maxLength: 200 }).map((body) => joined([Uint8Array.of(kind, 1), body]));
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(mutated(requests), framed(REQUESTS), fc.uint8Array({ maxLength: 50 })),
      fc.oneof(mutated(answers), framed(ANSWERS), fc.uint8Array({ maxLength: 50 })),
      async (there, back) => {
        const one = session();
        refused(() => one.frame(there));
        const asker = new Requester({ send: () => true });
        const calls = [1, 2].map((id) => asker.call([0, METHOD.get, 'x'], 10, () => id).catch(() => undefined));
        const sink = { opened: () => {}, item: () => {}, ended: () => {}, failed: () => {} };
        asker.stream([0, METHOD.watch], sink);
        refused(() => asker.frame(back));
        asker.close(new KvorumError('ERR_UNAVAILABLE', 'over'));
        await Promise.all(calls);
        await new Promise(setImmediate);
        one.close();
      },
    ),
    { numRuns: 1500 },
  );
  await alive();
}, 30_000);

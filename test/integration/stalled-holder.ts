/**
 * A holder whose event loop stands still for longer than its lock lasts: `node stalled-holder.ts URL`. Says `held TOKEN` when it holds the lock and
 * is about to stall, and one line of JSON about what it saw when it goes on. It writes only if `guard()` lets it.
 */
import { connect, KvorumError } from '../../src/client/index.ts';

const STALL_MS = 4000;

const client = connect(process.argv[2] ?? '');
const lock = await client.lock('stall', { ttl: '1s' });
console.log(`held ${lock.token}`);

// No timer runs and nothing is read or sent: what a long computation does, or a synchronous call.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS);

let guarded: string;
try {
  lock.guard();
  guarded = 'passed';
  await client.put('guarded', 'the stalled holder');
} catch (error) {
  guarded = KvorumError.is(error) ? error.code : String(error);
}
console.log(JSON.stringify({ guarded, aborted: lock.signal.aborted, remaining: lock.remaining() }));
await client.close();

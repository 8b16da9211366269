/**
 * A holder that is paused and goes on without looking: `node paused-holder.ts NODE_URL SHOP_URL`. Says `held TOKEN`; at the next line of
 * its input it writes to everything that the lock protects, as if no time had passed, and says in a line of JSON what came of it.
 */
import { once } from 'node:events';

import { connect, KvorumError, put, token } from '../../src/client/index.ts';

const [, , node = '', shop = ''] = process.argv;
const client = connect(node);
const lock = await client.lock('orders/42', { ttl: '1s' });
console.log(`held ${lock.token}`);
await once(process.stdin, 'data');

const MINE = 'cancelled';
const headers = { 'Kvorum-Fence': String(lock.token) };

async function send(path: string): Promise<number> {
  const { status } = await fetch(`${shop}/${path}`, { method: 'POST', headers, body: MINE });
  return status;
}

const statuses = {
  unchecked: { sql: await send('sql/unchecked'), http: await send('http/unchecked') },
  checked: { sql: await send('sql/checked'), http: await send('http/checked') },
};
await client.put('store/unchecked', MINE);
const { succeeded } = await client.txn({
  if: [token('orders/42').is(lock.token)],
  then: [put('store/checked', MINE)],
});

let guarded: string;
try {
  lock.guard();
  guarded = 'passed';
} catch (error) {
  guarded = KvorumError.is(error) ? error.code : String(error);
}
console.log(JSON.stringify({ ...statuses, succeeded, guarded, aborted: lock.signal.aborted }));
process.stdin.destroy();
await client.close();

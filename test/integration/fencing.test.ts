/**
 * Why a lock needs a fencing token (docs/locks.md): a holder that is stopped for longer than its lock lasts, and goes on, overwrites
 * what the next holder wrote wherever nobody looks at the token, and nothing where somebody does: in a table, at a service, in the store.
 */
import { spawn } from 'node:child_process';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';

import { connect, put, token } from '../../src/client/index.ts';
import { Cluster } from './cluster.ts';

const ORDER = 42;

/** What the lock protects outside of the cluster, each once with a check of the token and once without. */
class Shop {
  readonly #database = new DatabaseSync(':memory:');
  readonly #server = createServer((request, response) => {
    void this.#answer(request).then((status) => {
      response.statusCode = status;
      response.end();
    });
  });
  /** Of the service: state, and the largest token that it has seen. */
  readonly service = { unchecked: 'new', checked: 'new', highestSeen: 0 };

  async open(): Promise<string> {
    for (const table of ['unchecked', 'checked']) {
      this.#database.exec(`create table ${table} (id integer primary key, state text, fence integer not null)`);
      this.#database.exec(`insert into ${table} values (${ORDER}, 'new', 0)`);
    }
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** State of the order in a table. */
  state(table: 'unchecked' | 'checked'): unknown {
    return this.#database.prepare(`select state from ${table} where id = ${ORDER}`).get()?.['state'];
  }

  /** 200, or 409: fenced out. */
  write(where: string, state: string, fence: number): number {
    switch (where) {
      case 'sql/unchecked':
        return this.#update('update unchecked set state = $1 where id = $2', { $1: state, $2: ORDER });
      case 'sql/checked':
        // The statement of docs/locks.md.
        return this.#update('update checked set state = $1, fence = $2 where id = $3 and fence <= $2', {
          ...{ $1: state, $2: fence, $3: ORDER },
        });
      case 'http/unchecked':
        this.service.unchecked = state;
        return 200;
      case 'http/checked':
        if (!(fence >= this.service.highestSeen)) return 409;
        this.service.highestSeen = fence;
        this.service.checked = state;
        return 200;
      default:
        return 404;
    }
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    this.#database.close();
  }

  #update(statement: string, values: Record<string, string | number>): number {
    return this.#database.prepare(statement).run(values).changes === 1 ? 200 : 409;
  }

  async #answer(request: IncomingMessage): Promise<number> {
    const state = await text(request);
    return this.write((request.url ?? '').slice(1), state, Number(request.headers['kvorum-fence']));
  }
}

test('a holder that was stopped does harm where nobody checks its token, and none where somebody does', async () => {
  const cluster = await Cluster.start();
  const [first, second] = cluster.nodes;
  const shop = new Shop();
  onTestFinished(() => shop.close());
  const url = await shop.open();
  const holder = spawn(process.execPath, [path.join(import.meta.dirname, 'paused-holder.ts'), first!.url, url], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // SIGKILL ends a stopped process too.
  onTestFinished(() => void holder.kill('SIGKILL'));
  const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  const held = Number(/^held (\d+)$/.exec((await lines.next()).value as string)?.[1]);
  holder.kill('SIGSTOP');

  // The lease of the stopped one ends, and the next in the queue is let in and works.
  const client = connect(second!.url);
  onTestFinished(async () => await client.close());
  const lock = await client.lock('orders/42', { wait: '20s' });
  expect(lock.token).toBeGreaterThan(held);
  const mine = 'shipped';
  for (const where of ['sql/unchecked', 'sql/checked', 'http/unchecked', 'http/checked']) {
    expect(shop.write(where, mine, lock.token), where).toBe(200);
  }
  await client.put('store/unchecked', mine);
  const guarded = [token('orders/42').is(lock.token)];
  expect((await client.txn({ if: guarded, then: [put('store/checked', mine)] })).succeeded).toBe(true);

  holder.kill('SIGCONT');
  holder.stdin.write('go on\n');
  expect(JSON.parse((await lines.next()).value as string)).toEqual({
    unchecked: { sql: 200, http: 200 },
    checked: { sql: 409, http: 409 },
    succeeded: false,
    // Had it looked, it would have known.
    guarded: 'ERR_LOCK_LOST',
    aborted: true,
  });

  const harmed = [shop.state('unchecked'), shop.service.unchecked, (await client.get('store/unchecked'))?.value];
  expect(harmed, 'without a check the work of the next holder is gone').toEqual(Array(3).fill('cancelled'));
  const safe = [shop.state('checked'), shop.service.checked, (await client.get('store/checked'))?.value];
  expect(safe, 'with a check it is there').toEqual(Array(3).fill(mine));
  lock.guard();
  await lock.release();
});

/** Lists of services in pages, over a transport that answers as a test says. */
import { expect, test } from 'vitest';

import type { RawEntry } from '../../../src/client/api.ts';
import { instanceKey } from '../../../src/client/services/instance.ts';
import { failure } from '../fake-time.ts';
import { fails, gives, scene } from '../fake-transport.ts';

function entry(instance: string, modRevision = 7): RawEntry {
  return {
    ...{ key: instanceKey('payments', instance), value: Buffer.from('{"address":"a:1","status":"passing"}') },
    ...{ createRevision: modRevision, modRevision, version: 1, lease: '1', contentType: 'application/json' },
  };
}

const page = (revision: number, entries: readonly RawEntry[], nextCursor: string | null): unknown => ({
  ...{ revision, entries, count: entries.length, nextCursor },
});

test('a list whose revision is compacted before its last page is begun again, not for ever', async () => {
  const { client, node } = scene();
  const turn = [gives(page(60, [entry('a')], 'c')), fails('ERR_COMPACTED')];
  node.next('list', ...turn, gives(page(90, [entry('b')], null)));
  expect(await client.services.list('payments')).toMatchObject({ revision: 90, instances: [{ instance: 'b' }] });
  node.next('list', ...turn, gives(page(90, [entry('b'), entry('c')], null)));
  expect(await client.services.names()).toEqual([{ name: 'payments', instances: 2, passing: 2 }]);
  node.next('list', ...turn, ...turn, ...turn, ...turn, ...turn);
  expect(await failure(client.services.names())).toMatchObject({ code: 'ERR_COMPACTED' });
  node.next('list', ...turn, ...turn, ...turn, ...turn, ...turn);
  expect(await failure(client.services.list('payments'))).toMatchObject({ code: 'ERR_COMPACTED' });
});

test('of more instances than there may be no more pages are read than are kept', async () => {
  const { client, node } = scene();
  let pages = 0;
  node.always('list', () => {
    pages++;
    const entries = Array.from({ length: 1000 }, (_, at) => entry(`${pages}-${at}`));
    return page(60, entries, pages < 20 ? 'c' : null);
  });
  expect(await failure(client.services.list('payments'))).toMatchObject({ code: 'ERR_TOO_LARGE' });
  expect(pages).toBe(11);
});

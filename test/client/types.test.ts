/** What an embedded node answers is what a transport answers: the client's own words for it may not drift away. */
import { expectTypeOf, test } from 'vitest';

import type * as client from '../../src/client/api.ts';
import type { Once } from '../../src/machine/types.ts';
import type { Barriers, Coordination, Elections, Leases, Locks } from '../../src/node/coordination.ts';
import type * as node from '../../src/node/types.ts';

type Answer<F extends (...args: never[]) => unknown> = Awaited<ReturnType<F>>;

test('answers', () => {
  expectTypeOf<node.GetAnswer>().toExtend<client.GetAnswer>();
  expectTypeOf<node.PutAnswer>().toExtend<client.PutAnswer>();
  expectTypeOf<node.DeleteAnswer>().toExtend<client.DeleteAnswer>();
  expectTypeOf<node.ListAnswer>().toExtend<client.ListAnswer>();
  expectTypeOf<node.ClusterInfo>().toExtend<client.ClusterInfo>();
  expectTypeOf<Answer<Coordination['txn']>>().toExtend<client.TxnAnswer>();
  expectTypeOf<Answer<Leases['grant']>>().toExtend<client.LeaseAnswer>();
  expectTypeOf<Answer<Leases['get']>>().toExtend<client.LeaseInfo>();
  expectTypeOf<Answer<Locks['acquire']>>().toExtend<client.SeatAnswer>();
  expectTypeOf<Answer<Locks['get']>>().toExtend<client.LockInfo>();
  expectTypeOf<Answer<Elections['get']>>().toExtend<client.ElectionInfo>();
  expectTypeOf<Answer<Barriers['get']>>().toExtend<client.BarrierInfo>();
});

test('requests', () => {
  expectTypeOf<client.Once>().toEqualTypeOf<Once>();
  expectTypeOf<client.Key>().toEqualTypeOf<node.Key>();
  expectTypeOf<client.Value>().toEqualTypeOf<node.Value>();
  expectTypeOf<client.Condition>().toExtend<NonNullable<node.WriteOptions['condition']>>();
  expectTypeOf<client.Compare>().toExtend<NonNullable<Parameters<Coordination['txn']>[0]['if']>[number]>();
});

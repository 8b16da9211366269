/** Which endpoint is asked next, while members come and go. */
import { expect, test } from 'vitest';

import type { MemberInfo } from '../../src/client/api.ts';
import { Endpoints } from '../../src/client/endpoints.ts';
import { FakeTime } from './fake-time.ts';
import { FakeTransport } from './fake-transport.ts';

const time = new FakeTime();
const open = (endpoint: string): FakeTransport['transport'] => new FakeTransport(endpoint, time).transport;
const member = (http: string): MemberInfo => ({ http, health: 'alive' }) as MemberInfo;

test('one that answers after it is no member any more is not chosen again, and nothing else is lost', () => {
  const endpoints = new Endpoints([open('n1'), open('n2')], 0, { endpointsOf: ({ http }) => [http ?? ''], open });
  endpoints.update([member('n1'), member('n2'), member('n3')]);
  const [first, second, gone] = endpoints.all;
  endpoints.failed(first!, 0, 0);
  endpoints.failed(second!, 0, 0);
  expect(endpoints.pick(0, first!)).toBe(gone);
  // While it is being asked it is removed.
  endpoints.update([member('n1'), member('n2')]);
  endpoints.answered(gone!);
  expect(endpoints.pick(0, null)).toBe(first);
  endpoints.answered(second!);
  expect(endpoints.pick(0, null)).toBe(second);
});

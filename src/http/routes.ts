/** Every route there is, in the order of the documents. */
import { BARRIER_ROUTES } from './barrier-routes.ts';
import { CLUSTER_ROUTES } from './cluster-routes.ts';
import { COUNTER_ROUTES } from './counter-routes.ts';
import { DHT_ROUTES } from './dht-routes.ts';
import { ELECTION_ROUTES } from './election-routes.ts';
import { KV_ROUTES } from './kv-routes.ts';
import { LEASE_ROUTES } from './lease-routes.ts';
import { LOCK_ROUTES } from './lock-routes.ts';
import { MEMBER_ROUTES } from './member-routes.ts';
import { OPERATION_ROUTES } from './operation-routes.ts';
import type { Route } from './route.ts';
import { SERVICE_ROUTES } from './service-routes.ts';
import { TXN_ROUTES } from './txn-routes.ts';
import { WATCH_ROUTES } from './watch-routes.ts';

export const ROUTES: readonly Route[] = [
  ...KV_ROUTES,
  ...TXN_ROUTES,
  ...WATCH_ROUTES,
  ...LEASE_ROUTES,
  ...LOCK_ROUTES,
  ...ELECTION_ROUTES,
  ...BARRIER_ROUTES,
  ...COUNTER_ROUTES,
  ...SERVICE_ROUTES,
  ...CLUSTER_ROUTES,
  ...MEMBER_ROUTES,
  ...DHT_ROUTES,
  ...OPERATION_ROUTES,
];

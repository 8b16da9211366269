/** Every route there is, in the order of the documents. */
import { CLUSTER_ROUTES } from './cluster-routes.ts';
import { KV_ROUTES } from './kv-routes.ts';
import { OPERATION_ROUTES } from './operation-routes.ts';
import type { Route } from './route.ts';

export const ROUTES: readonly Route[] = [...KV_ROUTES, ...CLUSTER_ROUTES, ...OPERATION_ROUTES];

/** All models by name. */
import type { Model } from './model.ts';
import { appendList } from './models/append-list.ts';
import { counter } from './models/counter.ts';
import { kv } from './models/kv.ts';
import { lock } from './models/lock.ts';
import { register } from './models/register.ts';
import { revisions } from './models/revisions.ts';
import { set } from './models/set.ts';
import { txn } from './models/txn.ts';
import { watch } from './models/watch.ts';

export const MODELS = {
  kv,
  register,
  revisions,
  counter,
  set,
  'append-list': appendList,
  lock,
  txn,
  watch,
} as const satisfies Record<string, Model>;

export type ModelName = keyof typeof MODELS;

/** All models by name. */
import type { Model } from './model.ts';
import { kv } from './models/kv.ts';
import { register } from './models/register.ts';

export const MODELS = { register, kv } as const satisfies Record<string, Model>;

export type ModelName = keyof typeof MODELS;

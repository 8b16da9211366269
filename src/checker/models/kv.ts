/** The register of every key, with `append`: concatenates a string; an absent value becomes the string. */
import type { Model } from '../model.ts';
import { checkValues, refuseValueOperation } from './register.ts';

export const kv: Model = {
  name: 'kv',
  byKey: true,
  refuse: (operation) => refuseValueOperation(operation, true),
  check: checkValues,
};

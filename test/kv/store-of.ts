import { KvStore, type KvStoreOptions } from '../../src/kv/store.ts';
import { isSettingsKey } from '../../src/kv/settings.ts';
import type { Condition, PutOperation } from '../../src/kv/types.ts';
import { MemoryView, bytes } from './memory-view.ts';

/** A store with short ways to write to it. */
export function storeOf(options: KvStoreOptions = {}) {
  const view = new MemoryView();
  const store = new KvStore(view, options);
  const put = (key: string, value: string, more: Partial<PutOperation> = {}) =>
    store.put({ key, value: bytes(value), contentType: null, lease: null, prev: false, condition: null, ...more });
  const del = (key: string, condition: Condition | null = null) => store.delete({ key, prev: false, condition });
  return { view, store, put, del };
}

/** Another store over the same records, as after a restart. */
export function restarted(store: KvStore, view: MemoryView, options: KvStoreOptions = {}): KvStore {
  const next = new KvStore(view, options);
  for (const { key, value } of view.records()) {
    if (isSettingsKey(key)) next.restoreSettings(value);
    else next.restore(key, value);
  }
  next.restored(store.state);
  return next;
}

/**
 * How much history is kept and how much may be stored is part of the state, the same on every replica; the options of a node only say what it wants. The leader
 * proposes what it was told when it begins to lead, so give all members the same.
 */
import type { StoreSettings } from '../kv/store.ts';
import type { Calls } from './calls.ts';

const TIMEOUT_MS = 4000;

export class SettingsKeeper {
  readonly #calls: Calls;
  readonly #wanted: Partial<StoreSettings>;
  readonly #failed: (error: unknown) => void;
  #proposing = false;
  #settledIn: number | null = null;

  constructor(calls: Calls, wanted: Partial<StoreSettings>, failed: (error: unknown) => void) {
    this.#calls = calls;
    this.#wanted = wanted;
    this.#failed = failed;
  }

  /** `reign`: the term in which this node leads, null when it does not. Called every now and then. */
  tick(reign: number | null): void {
    if (reign === null || reign === this.#settledIn || this.#proposing) return;
    const { settings } = this.#calls.machine.kv;
    const { keepRevisions = null, keepMs = null, quotaBytes = null } = this.#wanted;
    const settled =
      (keepRevisions ?? settings.keepRevisions) === settings.keepRevisions &&
      (keepMs ?? settings.keepMs) === settings.keepMs &&
      (quotaBytes ?? settings.quotaBytes) === settings.quotaBytes;
    if (settled) {
      this.#settledIn = reign;
      return;
    }
    this.#proposing = true;
    this.#calls
      .propose({ type: 'settings', keepRevisions, keepMs, quotaBytes }, { timeoutMs: TIMEOUT_MS })
      .catch(this.#failed)
      .finally(() => {
        this.#proposing = false;
      });
  }
}

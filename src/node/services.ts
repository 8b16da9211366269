/** Everything that one group offers its callers, put together around its replica. */
import type { StoreSettings } from '../kv/settings.ts';
import type { Effect } from '../machine/types.ts';
import { Acquisition } from './acquisition.ts';
import { Calls, checkCount, typed, written } from './calls.ts';
import type {
  Coordination,
  MutationOptions,
  TxnAnswer,
  TxnRequest,
  Watch,
  WatchOptions,
  Written,
} from './coordination.ts';
import { CounterService } from './counter-service.ts';
import { BarrierService, ElectionService } from './election-service.ts';
import type { Environment } from './env.ts';
import { KvService } from './kv-service.ts';
import { KEEPER_EVERY_MS, LeaseKeeper } from './lease-keeper.ts';
import { LeaseService } from './lease-service.ts';
import type { Lessor } from './lessor.ts';
import { LockService } from './lock-service.ts';
import { LockWaits } from './lock-waits.ts';
import { Renewals } from './renewals.ts';
import type { Replica } from './replica.ts';
import { TxnService } from './txn-service.ts';
import { SettingsKeeper } from './settings-keeper.ts';
import type { Limits } from './types.ts';
import { WatchHub } from './watch-hub.ts';

export interface ServicesOptions {
  readonly replica: Replica;
  readonly env: Environment;
  readonly limits: Limits;
  readonly store: Partial<StoreSettings>;
  /** What went wrong in the background and is tried again, or ends by itself. */
  readonly warn: (error: unknown, message: string) => void;
}

export class Services implements Coordination {
  readonly kv: KvService;
  readonly leases: LeaseService;
  readonly locks: LockService;
  readonly elections: ElectionService;
  readonly barriers: BarrierService;
  readonly counters: CounterService;
  readonly watches: WatchHub;
  readonly #options: ServicesOptions;
  readonly #calls: Calls;
  readonly #txn: TxnService;
  readonly #keeper: LeaseKeeper;
  readonly #waits = new LockWaits();
  readonly #closed = new AbortController();
  readonly #stop: () => void;

  constructor(options: ServicesOptions) {
    const { replica, env, limits, warn } = options;
    this.#options = options;
    const calls = new Calls(replica, env, limits);
    this.#calls = calls;
    const reign = (): number | null => (replica.loading ? null : replica.reign);
    this.kv = new KvService(calls);
    this.#txn = new TxnService(calls);
    this.#keeper = new LeaseKeeper({
      calls,
      clock: replica.clock,
      reign,
      failed: (error) => warn(error, 'what leases need was not proposed, it is tried again'),
    });
    const renewals = new Renewals(calls);
    const acquisition = new Acquisition(calls, this.#waits, renewals, (error) =>
      warn(error, 'a place that nobody wants any more was not given up, it ends with its lease'),
    );
    this.leases = new LeaseService(calls, this.#keeper.lessor, renewals);
    this.locks = new LockService(calls, acquisition, renewals);
    this.elections = new ElectionService(calls, acquisition, this.#waits, this.#closed.signal);
    this.barriers = new BarrierService(calls, acquisition);
    this.counters = new CounterService(calls);
    this.watches = new WatchHub({ calls, loading: () => replica.loading });
    const settings = new SettingsKeeper(calls, options.store, (error) =>
      warn(error, 'the settings of the store were not proposed, they are tried again'),
    );
    this.#stop = env.every(KEEPER_EVERY_MS, () => {
      this.#keeper.tick();
      settings.tick(reign());
    });
  }

  txn(request: TxnRequest, options?: MutationOptions): Promise<TxnAnswer> {
    return this.#txn.txn(request, options);
  }

  watch(options: WatchOptions = {}): Promise<Watch> {
    return this.watches.open(options);
  }

  async compact(
    revision: number,
    options: MutationOptions = {},
  ): Promise<Written & { readonly compactedRevision: number }> {
    const result = typed(
      await this.#calls.propose({ type: 'compact', revision: checkCount('revision', revision, 1) }, options),
      'compacted',
    );
    return { ...written(result), compactedRevision: result.compactedRevision };
  }

  /** How long leases have left, by this node's clock. */
  get lessor(): Lessor {
    return this.#keeper.lessor;
  }

  /** Locks whose rest this node would end if it led. */
  get resting(): number {
    return this.#keeper.resting;
  }

  /** Who waits on this node to be let in. */
  get lockWaits(): number {
    return this.#waits.size;
  }

  /** Entries were applied. */
  applied(effects: readonly Effect[], now: number): void {
    for (const effect of effects) {
      this.#keeper.effect(effect, now);
      if (effect.type === 'lock') this.#waits.effect(effect.effect);
    }
    this.watches.catchUp();
  }

  /** The state of a snapshot has taken the place of what there was. */
  stateReplaced(): void {
    this.#keeper.stateReplaced();
    this.#waits.stateReplaced(this.#options.replica.machine.coordinator.locks);
    this.watches.stateReplaced();
  }

  /** Ends watches and observations. */
  close(): void {
    this.#stop();
    this.#closed.abort();
    this.#waits.close();
    this.watches.close();
  }
}

/** The service registry, as clients have it. */
import type { Consistency } from '../api.ts';
import type { Core } from '../core.ts';
import type { Duration } from '../duration.ts';
import { runOptions } from '../lease.ts';
import type { CallOptions } from '../options.ts';
import { Subscription } from '../subscription.ts';
import type { ServiceSummary } from './census.ts';
import { checkName, instanceKey } from './instance.ts';
import type { ServiceView } from './instance.ts';
import { Picker } from './picker.ts';
import type { PickOptions } from './picker.ts';
import { RegistrationHandle } from './registration.ts';
import type { Registration, RegisterOptions } from './registration.ts';
import { callNames, callRoll, followRoll } from './roll-call.ts';

export interface ServiceListOptions extends Omit<CallOptions, 'once'> {
  /** Default `linearizable`. */
  readonly consistency?: Consistency;
  /** Only those that are passing. Default false. */
  readonly passing?: boolean;
}

export interface ServiceWatchOptions {
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
  /** Only those that are passing. Default true. */
  readonly passing?: boolean;
  /** A connection on which nothing has come for this long is given up. Nodes say something every 10 s. Default '25s'. */
  readonly idleTimeout?: Duration;
}

/**
 * Who offers what, and where. An instance registers under a lease, so it is gone when its process is; whoever needs it lists, watches, or lets a picker choose.
 *
 * @example
 * const me = await client.services.register('payments', { address: '10.0.0.7:8080', check: { http: '/healthz' } });
 * for await (const { instances } of client.services.watch('payments', { signal })) …
 */
export class Services {
  readonly #core: Core;

  /** @internal */
  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Registers an instance of a service, and keeps it registered: after its lease was lost (a cluster that could not be reached for long) it comes back by itself. Rejects
   * ERR_INVALID_ARGUMENT (`details.option`), ERR_LEASE_NOT_FOUND for a lease of your own that has ended, ERR_QUOTA, and as any write.
   */
  // oxlint-disable-next-line typescript/require-await -- what it throws is a rejection
  async register(name: string, options: RegisterOptions): Promise<Registration> {
    const handle = new RegistrationHandle(this.#core, name, options);
    return handle.begin(options).then(() => handle);
  }

  /** The instances of a service; none for one that nobody registered. */
  async list(name: string, options: ServiceListOptions = {}): Promise<ServiceView> {
    const roster = await callRoll(this.#core, name, runOptions(options), options.consistency);
    return roster.view(options.passing ?? false);
  }

  /** Services that have an instance, with how many. */
  names(options: Omit<ServiceListOptions, 'passing'> = {}): Promise<readonly ServiceSummary[]> {
    return callNames(this.#core, runOptions(options), options.consistency);
  }

  /**
   * The passing instances, at once and again whenever that changed: who they are, or what they say of themselves. Goes on at another node when one fails, and misses nothing; of what came and went
   * while nobody looked the last is given.
   */
  watch(name: string, { signal, passing = true, idleTimeout }: ServiceWatchOptions = {}): Subscription<ServiceView> {
    checkName('name', name);
    const core = this.#core;
    return new Subscription(core, signal, async function* views(ended) {
      let told = '';
      for await (const roster of followRoll(core, name, ended, idleTimeout)) {
        const view = roster.view(passing);
        const shown = JSON.stringify(view.instances);
        if (shown === told) continue;
        told = shown;
        yield view;
      }
      return undefined;
    });
  }

  /** Takes an instance out of the registry, whoever registered it. False: there was none. A process that still runs learns of it within its `ttl`, and stays out. */
  async deregister(name: string, instance: string, options: CallOptions = {}): Promise<boolean> {
    checkName('name', name);
    checkName('instance', instance);
    const key = instanceKey(name, instance);
    const { deleted } = await this.#core.caller.run('write', runOptions(options), (transport, attempt) =>
      transport.delete({ key }, attempt),
    );
    return deleted > 0;
  }

  /** Chooses an instance for each request. Begins to watch at once; `close` it. */
  pick(name: string, options: PickOptions = {}): Picker {
    return new Picker(this.#core, name, options);
  }
}

/** Chooses an instance for each request: what is registered, as a watch tells of it, and what was learned from the requests before. */
import { KvorumError } from '../../errors.ts';
import { Backoff } from '../backoff.ts';
import type { Core } from '../core.ts';
import { durationMs } from '../duration.ts';
import type { Duration } from '../duration.ts';
import type { Health, Host } from '../host.ts';
import { isTransient } from '../retry.ts';
import { Subscription } from '../subscription.ts';
import { Balancer, BALANCER_DEFAULTS } from './balancer.ts';
import type { BalancerOptions } from './balancer.ts';
import { checkName, invalid } from './instance.ts';
import type { ServiceInstance } from './instance.ts';
import { followRoll } from './roll-call.ts';
import { isPassing } from './roster.ts';
import type { Roster } from './roster.ts';

/** How the process behind an instance is, by gossip for one: a hint, faster than leases. Null: nothing is known. */
export type HealthHint = Health | null;

export interface EjectionOptions {
  /** Set aside after so many failures in a row. Default 5. */
  readonly consecutiveFailures?: number;
  /** Set aside when this part of recent answers, of at least `minRequests` of them, were failures. Default 0.5. */
  readonly failureRatio?: number;
  /** Default 20. */
  readonly minRequests?: number;
  /** How long for the first time: twice as long the second time, three times the third, … Default '10s'. */
  readonly time?: Duration;
  /** Default '5m'. Who behaved for so long is set aside as if for the first time. */
  readonly maxTime?: Duration;
}

export interface PickOptions {
  /** Ends it, as `close`. */
  readonly signal?: AbortSignal;
  /** How fast latencies and failures are forgotten: what was so long ago counts 1/e. Default '10s'. */
  readonly decay?: Duration;
  /** A failure counts as an answer that took so long. Default '1s'. */
  readonly failureCost?: Duration;
  /** When instances are set aside that fail. At most half of them are at any time. */
  readonly ejection?: EjectionOptions;
  /**
   * What is known about the process behind an instance from elsewhere, asked with each choice. Who is not alive by it is left out as long as somebody else is left: it is a hint, and a
   * wrong one does not leave you with nobody. Default: for the client of a node or agent (`node.client()`), what that knows by gossip of the node or agent that the instance names (`node`);
   * for a client over the network nothing, so that leases and checks alone decide, as they do with `() => null`.
   */
  readonly healthOf?: (instance: ServiceInstance) => HealthHint;
}

/**
 * Power of two choices among the passing instances, by what is under way there and how long answers take of late; who fails is set aside for a while.
 *
 * @example
 * const picker = client.services.pick('payments');
 * const answer = await picker.use(({ address }) => fetch(`http://${address}/charge`, { method: 'POST' }));
 * await picker.close();
 */
export class Picker implements AsyncDisposable {
  readonly name: string;
  readonly #core: Core;
  readonly #balancer: Balancer;
  readonly #avoid: ((instance: ServiceInstance) => boolean) | undefined;
  readonly #watch: Subscription<Roster>;
  readonly #following: Promise<void>;
  #roster: Roster | null = null;
  #passing: readonly ServiceInstance[] = [];
  /** Of this attempt to learn what there is; another one after each that failed. */
  #ready = quietly(Promise.withResolvers<this>());
  #failure: KvorumError | null = null;

  /** @internal Use `client.services.pick`. */
  constructor(core: Core, name: string, options: PickOptions) {
    checkName('name', name);
    const { environment } = core.caller;
    const { healthOf = core.host === null ? undefined : byGossip(core.host), signal } = options;
    this.name = name;
    this.#core = core;
    this.#balancer = new Balancer(() => environment.random(), balancerOptions(options));
    this.#avoid = healthOf === undefined ? undefined : (instance) => !isAlive(healthOf(instance));
    this.#watch = new Subscription(core, signal, (ended) => this.#follow(ended));
    this.#following = this.#run();
  }

  /** Resolves once it is known what there is. Rejects when that could not be learned in the time of a call (it is tried on), and ERR_CLOSED after the end. */
  ready(): Promise<this> {
    return this.#ready.promise;
  }

  /** The passing instances, as far as is known: of the registry, whoever is set aside here. */
  get instances(): readonly ServiceInstance[] {
    return this.#passing;
  }

  /** Revision of the last change that is known of; 0 before `ready`. */
  get revision(): number {
    return this.#roster?.revision ?? 0;
  }

  /** Ids of the instances that are set aside now. */
  get setAside(): readonly string[] {
    return this.#balancer.aside(this.#core.now());
  }

  /**
   * The instance for the next request. Tell what became of it by `succeeded`, `failed` or `released`: until then it counts as under way.
   *
   * Throws ERR_NO_INSTANCE when none is registered, ERR_NO_HEALTHY_INSTANCE (`details.instances`) when none of them is passing, ERR_UNAVAILABLE when nothing is known yet (see `ready`),
   * ERR_CLOSED after the end.
   */
  next(): ServiceInstance {
    if (this.#failure !== null) throw this.#failure;
    const chosen = this.#balancer.next(this.#core.now(), this.#avoid);
    if (chosen !== null) return chosen;
    const service = `service ${JSON.stringify(this.name)}`;
    if (this.#roster === null) {
      throw new KvorumError('ERR_UNAVAILABLE', `the instances of ${service} are not known yet: wait for ready()`);
    }
    const instances = this.#roster.instances.length;
    if (instances === 0) throw new KvorumError('ERR_NO_INSTANCE', `${service} has no instance`);
    throw new KvorumError('ERR_NO_HEALTHY_INSTANCE', `of ${instances} instances of ${service} none is passing`, {
      details: { instances },
    });
  }

  /** It answered, after `ms` milliseconds. */
  succeeded(instance: ServiceInstance, ms: number): void {
    this.#balancer.succeeded(instance, ms, this.#core.now());
  }

  /** It did not answer, or in a way that another instance would not have. */
  failed(instance: ServiceInstance): void {
    this.#balancer.failed(instance, this.#core.now());
  }

  /** It is not under way any more, and nothing is to be learned from it: the caller gave up, for one. */
  released(instance: ServiceInstance): void {
    this.#balancer.released(instance);
  }

  /**
   * Runs `request` with an instance, and learns from it: how long it took, or that it failed, which is when it throws. Gives what `request` gives; nothing is tried again.
   * `isFailure` tells which errors are the instance's fault. Default: all.
   */
  async use<T>(
    request: (instance: ServiceInstance) => T | Promise<T>,
    { isFailure = () => true }: { readonly isFailure?: (error: unknown) => boolean } = {},
  ): Promise<T> {
    if (this.#roster === null) await this.ready();
    const instance = this.next();
    const began = this.#core.now();
    try {
      const result = await request(instance);
      this.succeeded(instance, this.#core.now() - began);
      return result;
    } catch (error) {
      if (isFailure(error)) this.failed(instance);
      else this.released(instance);
      throw error;
    }
  }

  /** Safe to repeat. */
  async close(): Promise<void> {
    this.#end(new KvorumError('ERR_CLOSED', `the picker of service ${JSON.stringify(this.name)} was closed`));
    await this.#watch.close();
    await this.#following;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    try {
      for await (const roster of this.#watch) this.#learn(roster);
      this.#end(new KvorumError('ERR_CLOSED', `the picker of service ${JSON.stringify(this.name)} has ended`));
    } catch (error) {
      const cause = error as Error;
      this.#end(KvorumError.is(cause) ? cause : new KvorumError('ERR_INTERNAL', cause.message, { cause }));
    }
  }

  /** What is registered, for as long as it takes: meanwhile whatever was known last is good enough. */
  async *#follow(ended: AbortSignal): AsyncGenerator<Roster, undefined> {
    const { caller } = this.#core;
    const backoff = new Backoff(caller.environment, caller.options.backoff);
    for (;;) {
      try {
        for await (const roster of followRoll(this.#core, this.name, ended)) {
          backoff.reset();
          yield roster;
        }
        return undefined;
      } catch (error) {
        if (ended.aborted || caller.closing !== null) return undefined;
        if (!KvorumError.is(error) || !isTransient(error)) throw error;
        this.#ready.reject(error);
        if (this.#roster === null) this.#ready = quietly(Promise.withResolvers<this>());
      }
      try {
        await caller.pause(backoff.next(), ended);
      } catch {
        // Ended, or the client was closed, which ends it too.
        return undefined;
      }
    }
  }

  #learn(roster: Roster): void {
    this.#roster = roster;
    this.#passing = roster.instances.filter(isPassing);
    this.#balancer.update(this.#passing, this.#core.now());
    this.#ready.resolve(this);
  }

  #end(error: KvorumError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#ready.reject(error);
    this.#ready = quietly(Promise.withResolvers<this>());
    this.#ready.reject(error);
  }
}

function byGossip(host: Host): (instance: ServiceInstance) => HealthHint {
  return ({ node }) => (node === null ? null : host.healthOf(node));
}

function isAlive(hint: HealthHint): boolean {
  return hint === null || hint === 'alive';
}

/** Whoever wants to know asks for it. */
function quietly<T>(resolvers: PromiseWithResolvers<T>): PromiseWithResolvers<T> {
  resolvers.promise.catch(() => undefined);
  return resolvers;
}

function balancerOptions({ decay, failureCost, ejection = {} }: PickOptions): BalancerOptions {
  const { decayMs, failureMs, consecutiveFailures, failureRatio, minRequests, ejectionMs, maxEjectionMs } =
    BALANCER_DEFAULTS;
  const made = {
    decayMs: durationMs('decay', decay ?? decayMs),
    failureMs: durationMs('failureCost', failureCost ?? failureMs),
    consecutiveFailures: ejection.consecutiveFailures ?? consecutiveFailures,
    failureRatio: ejection.failureRatio ?? failureRatio,
    minRequests: ejection.minRequests ?? minRequests,
    ejectionMs: durationMs('ejection.time', ejection.time ?? ejectionMs),
    maxEjectionMs: durationMs('ejection.maxTime', ejection.maxTime ?? maxEjectionMs),
  };
  if (made.decayMs < 1) throw invalid('decay', 'must be at least 1 ms');
  for (const name of ['consecutiveFailures', 'minRequests'] as const) {
    if (!Number.isSafeInteger(made[name]) || made[name] < 1) throw invalid(`ejection.${name}`, 'must be at least 1');
  }
  if (!(made.failureRatio > 0 && made.failureRatio <= 1))
    throw invalid('ejection.failureRatio', 'must be above 0, at most 1');
  return made;
}

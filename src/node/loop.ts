/**
 * The loop that drives all replicas of a node: one turn an event-loop iteration, one store batch a turn for all groups, ticks for
 * time. With the replicas it is the code that the simulator runs unchanged.
 */
import { KvorumError } from '../errors.ts';
import type { GroupId } from '../raft/types.ts';
import type { Store } from '../storage/types.ts';
import type { Environment } from './env.ts';
import type { Replica } from './replica.ts';

export interface LoopOptions {
  readonly env: Environment;
  readonly store: Store;
  readonly tickMs: number;
  /** Called once, with what stopped the loop. Everything that waited has been ended by then. */
  failed(error: KvorumError): void;
}

export class Loop {
  readonly #options: LoopOptions;
  readonly #replicas = new Map<GroupId, Replica>();
  /** Writes given to the store and not yet called back, oldest first: what to do after each. */
  readonly #writes: (() => void)[][] = [];
  #scheduled = false;
  #stopTicks: (() => void) | null = null;
  #stopped = false;

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  add(replica: Replica): void {
    this.#replicas.set(replica.group, replica);
  }

  replica(group: GroupId): Replica | undefined {
    return this.#replicas.get(group);
  }

  start(): void {
    const { env, tickMs } = this.#options;
    this.#stopTicks = env.every(tickMs, () => {
      this.#run(() => {
        for (const replica of this.#replicas.values()) replica.tick();
      });
      this.wake();
    });
    this.wake();
  }

  /** Asks for a turn at the end of this event-loop iteration. Cheap, and safe to repeat. */
  wake(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    this.#options.env.endOfTurn(() => {
      this.#scheduled = false;
      this.#run(() => this.#turn());
    });
  }

  #turn(): void {
    this.#takeTurns();
    // Only now: dropping what was received commits too, and must not take the turn's entries to the disk without a sync.
    for (const replica of this.#replicas.values()) replica.afterTurn();
  }

  #takeTurns(): void {
    let staged = false;
    let sync = false;
    const persisted: (() => void)[] = [];
    for (const replica of this.#replicas.values()) {
      const work = replica.turn();
      staged ||= work.staged;
      sync ||= work.sync;
      for (const action of work.persisted) persisted.push(action);
    }
    if (!staged) {
      if (persisted.length === 0) return;
      const previous = this.#writes.at(-1);
      if (previous === undefined) {
        // Nothing to write and nothing on its way: what there was to vouch for is on disk already.
        for (const action of persisted) action();
        this.wake();
      } else {
        previous.push(...persisted);
      }
      return;
    }
    this.#writes.push(persisted);
    this.#options.store.commit(sync, (error) => {
      if (error !== null) {
        this.fail(error);
        return;
      }
      const actions = this.#writes.shift() ?? [];
      if (this.#stopped) return;
      this.#run(() => {
        for (const action of actions) action();
      });
      this.wake();
    });
  }

  #run(action: () => void): void {
    if (this.#stopped) return;
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Stops everything: the disk failed, or an impossible state was reached. Nothing is acknowledged from here on. */
  fail(error: unknown): void {
    if (this.#stopped) return;
    const reason = KvorumError.is(error)
      ? error
      : new KvorumError('ERR_INTERNAL', error instanceof Error ? error.message : String(error), { cause: error });
    this.stop(new KvorumError('ERR_CLOSED', `the node has stopped: ${reason.message}`, { cause: reason }));
    this.#options.failed(reason);
  }

  stop(error: KvorumError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopTicks?.();
    for (const replica of this.#replicas.values()) replica.close(error);
  }
}

/** Who is in the cluster, and how they are. */
import type { MemberInfo } from './api.ts';
import type { Core } from './core.ts';
import { durationMs } from './duration.ts';
import type { ObserveOptions } from './election.ts';
import { runOptions } from './lease.ts';
import type { CallOptions } from './options.ts';
import { DEFAULT_IDLE_MS, follow, Subscription } from './subscription.ts';

export class Members {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Everybody, as the node that answers knows them: also without a quorum. */
  list(options: Omit<CallOptions, 'once'> = {}): Promise<readonly MemberInfo[]> {
    return this.#core.caller.run('read', runOptions(options), (transport, attempt) => transport.members(attempt));
  }

  /**
   * The whole list, then again whenever it has become another: somebody came, went, is suspected or is well again, or says something else of itself. Goes on at another node when
   * one fails. Of several changes in a row perhaps the last only.
   *
   * @example
   * for await (const members of client.members.watch({ signal })) {
   *   console.log(members.filter(({ health }) => health !== 'alive').map(({ name }) => name));
   * }
   */
  watch({ signal, idleTimeout }: ObserveOptions = {}): Subscription<readonly MemberInfo[]> {
    const idleMs = idleTimeout === undefined ? DEFAULT_IDLE_MS : durationMs('idleTimeout', idleTimeout);
    let last = '';
    return new Subscription(this.#core, signal, (ended) =>
      follow(this.#core, ended, {
        open: (transport, attempt) => transport.membersWatch({ idleMs }, attempt),
        take: (members) => {
          // A stream begins with what is now, which may have been told by the one before.
          const shown = JSON.stringify(members.map((member) => ({ ...member, matchIndex: null, appliedIndex: null })));
          if (shown === last) return null;
          last = shown;
          return members;
        },
        failed: (error) => {
          throw error;
        },
      }),
    );
  }
}

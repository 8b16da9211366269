/** What a node or an agent proves itself with: the cluster's secret, given or kept since it joined, or the join token that it has until then. */
import { KvorumError } from '../errors.ts';
import type { Store } from '../storage/types.ts';
import { parseJoinToken } from '../transport/join-token.ts';
import type { Credential, JoinToken } from '../transport/types.ts';
import { loadSecret } from './join-records.ts';
import type { ResolvedOptions } from './options.ts';

export class Credentials {
  readonly #store: Store;
  readonly #given: string | null;
  readonly #token: JoinToken | null;

  /** Throws ERR_BAD_TOKEN. */
  constructor(store: Store, { secret, joinToken }: Pick<ResolvedOptions, 'secret' | 'joinToken'>) {
    this.#store = store;
    this.#given = secret;
    this.#token = joinToken === null ? null : parseJoinToken(joinToken);
  }

  /** Null: there is none, or not yet. */
  get secret(): string | null {
    return this.#given ?? loadSecret(this.#store);
  }

  /** Asked for at every handshake: the secret comes with the invitation. */
  current(): Credential {
    const { secret } = this;
    if (secret !== null) return { secret };
    return this.#token === null ? null : { token: this.#token };
  }

  /** Throws ERR_CONFIG when there is nothing that a cluster could be joined with. */
  assertAny(): void {
    if (this.current() !== null) return;
    throw new KvorumError('ERR_CONFIG', 'to join a cluster a node needs its secret, or a join token');
  }
}

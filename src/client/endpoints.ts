/** Which of several endpoints is asked next: the one that answered last, as long as it answers. */
import type { ClientTransport, ClusterInfo, MemberInfo } from './api.ts';

export interface Endpoint {
  readonly transport: ClientTransport;
  /** It failed: others are asked first until then. */
  avoidUntil: number;
  /** It asked to be left alone until then (Retry-After). */
  restUntil: number;
  failures: number;
  /** Of a lower rank are asked first: 0, unless members are looked at and this one is suspected (1), or is not known to be one (2). */
  rank: number;
}

/** How members become endpoints. */
export interface Discovery {
  /** Where a member is reached; none for one that cannot be. */
  endpointsOf(member: MemberInfo): readonly string[];
  /** Of one of these. */
  open(endpoint: string): ClientTransport;
}

/** More members than that are not asked. */
const MAX_DISCOVERED = 64;

/** An endpoint that failed is asked after the others for this long, and twice as long each time it fails again. */
const FIRST_AVOID_MS = 250;
const MAX_AVOID_MS = 8000;

export class Endpoints {
  #all: readonly Endpoint[];
  #current: number;
  readonly #discovery: Discovery | null;
  /** Those that were given: they stay. */
  readonly #given: ReadonlySet<Endpoint>;

  /** `first`: index of the one to begin with. */
  constructor(transports: readonly ClientTransport[], first: number, discovery: Discovery | null = null) {
    this.#all = transports.map((transport) => fresh(transport));
    this.#given = new Set(this.#all);
    this.#current = first;
    this.#discovery = discovery;
  }

  get all(): readonly Endpoint[] {
    return this.#all;
  }

  get discovers(): boolean {
    return this.#discovery !== null;
  }

  get size(): number {
    return this.all.length;
  }

  get current(): Endpoint {
    return this.all[this.#current]!;
  }

  /**
   * The current one, or the next in turn that neither failed nor asked to be left alone; `last`, which has just failed, only when there is no other. When all
   * are to be avoided, the one whose time is over first.
   */
  pick(now: number, last: Endpoint | null): Endpoint {
    let best: Endpoint | null = null;
    let bestAt = Infinity;
    for (let i = 0; i < this.all.length; i++) {
      const endpoint = this.all[(this.#current + i) % this.all.length]!;
      const at = Math.max(endpoint.avoidUntil, endpoint.restUntil, now);
      if (endpoint === last && this.all.length > 1) continue;
      if (at < bestAt || (at === bestAt && best !== null && endpoint.rank < best.rank)) {
        best = endpoint;
        bestAt = at;
      }
      if (at <= now && endpoint.rank === 0) break;
    }
    return best ?? this.current;
  }

  answered(endpoint: Endpoint): void {
    endpoint.failures = 0;
    endpoint.avoidUntil = 0;
    // Answers to what was asked before another was chosen are still on their way; so are those of one that is no member any more.
    const at = this.all.indexOf(endpoint);
    if (at === -1) return;
    if (this.current.failures > 0 || this.current.rank > endpoint.rank) this.#current = at;
  }

  /** `retryAfterMs`: what it said itself. */
  failed(endpoint: Endpoint, now: number, retryAfterMs: number): void {
    endpoint.avoidUntil = now + Math.min(MAX_AVOID_MS, FIRST_AVOID_MS * 2 ** Math.min(endpoint.failures++, 10));
    endpoint.restUntil = Math.max(endpoint.restUntil, now + retryAfterMs);
  }

  /** These are the members now. Gives the transports of which none is needed any more, which are to be closed. */
  update(members: readonly MemberInfo[]): readonly ClientTransport[] {
    const discovery = this.#discovery;
    if (discovery === null) return [];
    const wanted = new Map<string, number>();
    for (const member of members) {
      if (member.health === 'unreachable' || wanted.size >= MAX_DISCOVERED) continue;
      for (const endpoint of discovery.endpointsOf(member))
        wanted.set(plain(endpoint), member.health === 'alive' ? 0 : 1);
    }
    const { current } = this;
    const kept: Endpoint[] = [];
    const gone: Endpoint[] = [];
    const unreachable = new Set(
      members
        .filter(({ health }) => health === 'unreachable')
        .flatMap((member) => discovery.endpointsOf(member).map(plain)),
    );
    for (const endpoint of this.#all) {
      const at = plain(endpoint.transport.endpoint);
      endpoint.rank = wanted.get(at) ?? 2;
      // One that is only unreachable may be back soon.
      if (wanted.delete(at) || this.#given.has(endpoint) || unreachable.has(at)) kept.push(endpoint);
      else gone.push(endpoint);
    }
    for (const [endpoint, rank] of wanted) kept.push(fresh(discovery.open(endpoint), rank));
    this.#all = kept;
    const first = kept.findIndex(({ rank }) => rank === 0);
    const stays = kept.indexOf(current);
    this.#current = stays !== -1 && (current.rank === 0 || first === -1) ? stays : Math.max(0, first);
    return gone.map(({ transport }) => transport);
  }

  /** Goes to the leader, if one of these is it. */
  prefer({ leader, members }: ClusterInfo): void {
    if (leader === null) return;
    const member = members.find(({ name }) => name === leader);
    const http = member?.http ?? null;
    const found = this.all.findIndex(
      ({ transport: { servedBy, endpoint } }) =>
        servedBy === leader ||
        (http !== null && sameUrl(endpoint, http)) ||
        member?.addresses?.some((address) => endpoint === `kvorum://${address}`) === true,
    );
    if (found !== -1) this.#current = found;
  }
}

function fresh(transport: ClientTransport, rank = 0): Endpoint {
  return { transport, avoidUntil: 0, restUntil: 0, failures: 0, rank };
}

/** Without a slash at its end. */
function plain(endpoint: string): string {
  return endpoint.replace(/\/+$/u, '');
}

function sameUrl(endpoint: string, http: string): boolean {
  return plain(endpoint) === plain(http);
}

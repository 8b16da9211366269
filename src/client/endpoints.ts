/** Which of several endpoints is asked next: the one that answered last, as long as it answers. */
import type { ClientTransport, ClusterInfo } from './api.ts';

export interface Endpoint {
  readonly transport: ClientTransport;
  /** It failed: others are asked first until then. */
  avoidUntil: number;
  /** It asked to be left alone until then (Retry-After). */
  restUntil: number;
  failures: number;
}

/** An endpoint that failed is asked after the others for this long, and twice as long each time it fails again. */
const FIRST_AVOID_MS = 250;
const MAX_AVOID_MS = 8000;

export class Endpoints {
  readonly all: readonly Endpoint[];
  #current: number;

  /** `first`: index of the one to begin with. */
  constructor(transports: readonly ClientTransport[], first: number) {
    this.all = transports.map((transport) => ({ transport, avoidUntil: 0, restUntil: 0, failures: 0 }));
    this.#current = first;
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
      if (at < bestAt) {
        best = endpoint;
        bestAt = at;
      }
      if (at <= now) break;
    }
    return best ?? this.current;
  }

  answered(endpoint: Endpoint): void {
    endpoint.failures = 0;
    endpoint.avoidUntil = 0;
    // Answers to what was asked before another was chosen are still on their way.
    if (this.current.failures > 0) this.#current = this.all.indexOf(endpoint);
  }

  /** `retryAfterMs`: what it said itself. */
  failed(endpoint: Endpoint, now: number, retryAfterMs: number): void {
    endpoint.avoidUntil = now + Math.min(MAX_AVOID_MS, FIRST_AVOID_MS * 2 ** Math.min(endpoint.failures++, 10));
    endpoint.restUntil = Math.max(endpoint.restUntil, now + retryAfterMs);
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

function sameUrl(endpoint: string, http: string): boolean {
  return endpoint.replace(/\/+$/u, '') === http.replace(/\/+$/u, '');
}

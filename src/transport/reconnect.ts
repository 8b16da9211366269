/**
 * Keeps the links that somebody asked for: dials each address until it is linked, waits longer after each failure, dials at
 * once when a link is lost, and tells whether that re-dial found the peer's process gone (decision 10).
 *
 * Without I/O and clocks of its own: both transports use it.
 */
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, REFUSED_RETRY_MS } from './limits.ts';
import type { NodeId } from '../raft/types.ts';

export type DialResult =
  /** There is an admitted link to this member now (made by this dial or by another at the same time). */
  | { readonly type: 'linked'; readonly id: NodeId }
  /** The peer's operating system refused: nobody listens there. */
  | { readonly type: 'port-closed' }
  /** The connection was made and broke at once, as when a process dies that still had its port open. */
  | { readonly type: 'reset' }
  /** Unreachable, timed out, not libp2p … */
  | { readonly type: 'failed' }
  /** Admission was refused by us or them. */
  | { readonly type: 'refused' };

export interface ReconnectorOptions {
  dial(address: string, done: (result: DialResult) => void): void;
  /** True while the member has an admitted link. */
  linked(id: NodeId): boolean;
  /** The process behind a link that was just lost is gone. */
  lost(id: NodeId): void;
  /** What came of dialling: who is linked, or null. */
  dialled?(address: string, id: NodeId | null): void;
  /** Runs `task` after `delayMs`; returns what cancels it. */
  schedule(delayMs: number, task: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
}

interface Target {
  readonly address: string;
  /** Who was linked through it last. */
  id: NodeId | null;
  state: 'dialing' | 'waiting' | 'linked';
  /** Failures in a row. */
  failures: number;
  /** The member whose link was lost and whose process this dial asks after; null for an ordinary dial. */
  asksAfter: NodeId | null;
  resets: number;
  /** Dials made; the answer to any but the last tells nothing any more. */
  dials: number;
  /** A peer that is linked, over another address or because it dialled us, and was here once or says that it is. It is believed for as long as it takes to dial there. */
  claimant: NodeId | null;
  cancel: (() => void) | null;
}

/** A dying process may close its port a moment after its connections: dials that break are repeated this often, that soon. */
const MAX_RESETS = 3;
const RESET_RETRY_MS = 5;
/** Where a peer says that it can be reached, it may not be: its address may be that of another, who would be dialled by nobody. */
const CHECK_CLAIM_MS = 2000;
/** It is linked, and cannot be reached there from here: there is no hurry. */
const CHECK_CLAIM_AGAIN_MS = 30_000;

export class Reconnector {
  readonly #options: ReconnectorOptions;
  readonly #targets = new Map<string, Target>();
  #closed = false;

  constructor(options: ReconnectorOptions) {
    this.#options = options;
  }

  connect(address: string): void {
    if (this.#closed || this.#targets.has(address)) return;
    const target: Target = {
      address,
      id: null,
      state: 'waiting',
      failures: 0,
      asksAfter: null,
      resets: 0,
      dials: 0,
      claimant: null,
      cancel: null,
    };
    this.#targets.set(address, target);
    this.#dial(target);
  }

  disconnect(address: string): void {
    const target = this.#targets.get(address);
    target?.cancel?.();
    this.#targets.delete(address);
  }

  has(address: string): boolean {
    return this.#targets.has(address);
  }

  /** A member was admitted. `claimed`: where it says that it can be reached, null when its word is not good for that. `dialled`: where we dialled it; null when it dialled. */
  up(id: NodeId, claimed: string | null, dialled: string | null = null): void {
    for (const target of this.#targets.values()) {
      const { address } = target;
      if (address === dialled || (target.id === id && address === claimed)) this.#settle(target, id);
      // It was there once, or says that it is: somebody else may be there now.
      else if (target.id === id || (target.id === null && address === claimed)) this.#settleByClaim(target, id);
    }
  }

  /** The last link to a member closed. `wanted`: it was our own doing (dropped, refused), so it is not asked after. */
  down(id: NodeId, wanted: boolean): void {
    for (const target of this.#targets.values()) {
      if (target.id !== id || target.state !== 'linked') continue;
      if (wanted) this.#wait(target, REFUSED_RETRY_MS);
      else {
        target.asksAfter = id;
        target.resets = 0;
        this.#dial(target);
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const target of this.#targets.values()) target.cancel?.();
    this.#targets.clear();
  }

  #settle(target: Target, id: NodeId): void {
    target.cancel?.();
    target.cancel = null;
    target.id = id;
    target.failures = 0;
    target.asksAfter = null;
    target.claimant = null;
    target.state = 'linked';
    this.#options.dialled?.(target.address, id);
  }

  #settleByClaim(target: Target, id: NodeId): void {
    this.#settle(target, id);
    if (this.#targets.get(target.address) === target) this.#checkClaim(target, id, CHECK_CLAIM_MS);
  }

  #checkClaim(target: Target, id: NodeId, delayMs: number): void {
    target.state = 'linked';
    target.claimant = id;
    target.cancel = this.#options.schedule(delayMs, () => this.#dial(target));
  }

  #dial(target: Target): void {
    target.cancel?.();
    target.state = 'dialing';
    target.cancel = null;
    const dial = ++target.dials;
    this.#options.dial(target.address, (result) => {
      if (this.#closed || this.#targets.get(target.address) !== target) return;
      if (target.state === 'dialing' && target.dials === dial) this.#dialled(target, result);
    });
  }

  #dialled(target: Target, result: DialResult): void {
    const askedAfter = target.asksAfter;
    if (result.type === 'linked') {
      // The link may have been lost again before the news of it came.
      if (this.#options.linked(result.id)) return this.#settle(target, result.id);
      return this.#wait(target, this.#backoff(target));
    }
    const { claimant } = target;
    if (claimant !== null && this.#options.linked(claimant)) {
      return this.#checkClaim(target, claimant, CHECK_CLAIM_AGAIN_MS);
    }
    target.claimant = null;
    this.#options.dialled?.(target.address, null);
    if (result.type === 'refused') {
      target.asksAfter = null;
      return this.#wait(target, REFUSED_RETRY_MS);
    }
    if (askedAfter !== null && result.type === 'reset' && target.resets < MAX_RESETS) {
      target.resets++;
      return this.#wait(target, RESET_RETRY_MS);
    }
    target.asksAfter = null;
    this.#wait(target, this.#backoff(target));
    if (askedAfter !== null && result.type === 'port-closed' && !this.#options.linked(askedAfter)) {
      this.#options.lost(askedAfter);
    }
  }

  #wait(target: Target, delayMs: number): void {
    target.state = 'waiting';
    target.cancel?.();
    // Up to a half is taken off at random, so that two nodes that dial each other, or many that lost one, do not march in step.
    const delay = delayMs * (1 - this.#options.random() / 2);
    target.cancel = this.#options.schedule(delay, () => this.#dial(target));
  }

  #backoff(target: Target): number {
    const delay = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(target.failures, 20));
    target.failures++;
    return delay;
  }
}

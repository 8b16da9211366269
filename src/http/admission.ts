/**
 * Who is let in. A node that answers everything it is asked until its event loop is full of HTTP is a node whose
 * heartbeats are late, and then its cluster has no leader. So requests are bounded in number, their bodies in bytes, and
 * when the loop falls behind all the same, clients are sent away (503, Retry-After) before Raft notices.
 */
import { performance } from 'node:perf_hooks';

import type { ShedReason } from './metrics.ts';

export interface AdmissionLimits {
  readonly maxInflightRequests: number;
  readonly maxInflightBodyBytes: number;
  readonly maxEventLoopDelayMs: number;
}

export class Admission {
  readonly limits: AdmissionLimits;
  readonly #delay: LoopDelay;
  inflightRequests = 0;
  inflightBodyBytes = 0;
  closing = false;
  #idle: (() => void)[] = [];

  constructor(limits: AdmissionLimits) {
    this.limits = limits;
    this.#delay = new LoopDelay(limits.maxEventLoopDelayMs);
  }

  get eventLoopDelayMs(): number {
    return this.#delay.ms;
  }

  /** Why the next request is refused, null when it is not. */
  refusal(): Exclude<ShedReason, 'connections' | 'body_bytes' | 'streams'> | null {
    if (this.closing) return 'closing';
    if (this.inflightRequests >= this.limits.maxInflightRequests) return 'requests';
    return this.#delay.late ? 'event_loop' : null;
  }

  enter(): void {
    this.inflightRequests++;
  }

  leave(bodyBytes: number): void {
    this.inflightRequests--;
    this.inflightBodyBytes -= bodyBytes;
    if (this.inflightRequests === 0 && this.#idle.length > 0) {
      for (const wake of this.#idle.splice(0)) wake();
    }
  }

  /** Takes room for bytes that have arrived; false when there is none. Given back by `leave`. */
  reserve(bytes: number): boolean {
    if (this.inflightBodyBytes + bytes > this.limits.maxInflightBodyBytes) return false;
    this.inflightBodyBytes += bytes;
    return true;
  }

  /** Resolves when nothing is being answered, or after so long. */
  drained(timeoutMs: number): Promise<void> {
    if (this.inflightRequests === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  stop(): void {
    this.#delay.stop();
  }
}

const SAMPLE_MS = 50;

/** How late a timer comes is how long everything else in this process waits. */
class LoopDelay {
  readonly #limitMs: number;
  readonly #timer: NodeJS.Timeout;
  #due = performance.now() + SAMPLE_MS;
  ms = 0;
  late = false;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    const now = performance.now();
    this.ms = Math.max(0, now - this.#due);
    this.#due = now + SAMPLE_MS;
    // Off again only at half the limit, so that it does not flap.
    this.late = this.ms > (this.late ? this.#limitMs / 2 : this.#limitMs);
  }
}

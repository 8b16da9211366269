/** Local health (Lifeguard §IV.A): how much this node should distrust itself before it distrusts others. */

export class Awareness {
  /** Scores are below; with 1 it is switched off. */
  readonly #max: number;
  #score = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** 0 is best. */
  get score(): number {
    return this.#score;
  }

  apply(delta: number): void {
    this.#score = Math.min(this.#max - 1, Math.max(0, this.#score + delta));
  }

  /** An interval or a time-out, longer the worse it is. */
  scale(ms: number): number {
    return ms * (this.#score + 1);
  }
}

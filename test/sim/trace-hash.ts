/** What happened, as a number: equal for two equal runs. Cheap, since it is asked for every event of every run. */
import type { WorldEvent } from '../invariants/world.ts';

export class TraceHash {
  #low = 0x811c9dc5;
  #high = 0x01000193;

  /** Sixteen hexadecimal digits. */
  get value(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0');
  }

  text(now: number, text: string): void {
    this.#mix(now * 1000);
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
  }

  event(now: number, event: WorldEvent): void {
    this.#mix(now * 1000);
    this.#mix(event.type.charCodeAt(0) + 256 * event.type.length + 65_536 * event.node.starts);
    switch (event.type) {
      case 'sent':
        this.#mix(event.message.term);
        this.#mix(event.message.type.charCodeAt(0) + 256 * event.message.type.length);
        if (event.message.type === 'Append') this.#mix(event.message.prevIndex + 65_536 * event.message.entries.length);
        break;
      case 'applied':
        this.#mix(event.entry.index);
        this.#mix(event.entry.term);
        this.#mix(event.entry.data.length);
        break;
      case 'ready':
        this.#mix(event.ready.seq);
        if (event.ready.hardState !== null) this.#mix(event.ready.hardState.term);
        break;
      case 'installed':
        this.#mix(event.snapshot.index);
        break;
      case 'readAsked':
      case 'readReleased':
      case 'readRefused':
        this.#mix(event.token);
        break;
      case 'accepted':
        this.#mix(event.firstIndex);
        break;
      case 'acknowledged':
        this.#mix(event.index);
        break;
      case 'started':
      case 'crashed':
    }
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ (value | 0), 0x01000193);
    this.#high = Math.imul(this.#high ^ (this.#low >>> 15), 0x85ebca6b);
  }
}

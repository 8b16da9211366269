/** The instances of one service, kept as a watch tells of them. */
import { KvorumError } from '../../errors.ts';
import { byteKeyOfText } from '../bytes.ts';
import { instanceOf, MAX_INSTANCES } from './instance.ts';
import type { ServiceInstance, ServiceView, StoredInstance } from './instance.ts';

/** A key was put, or deleted. */
export type InstanceEvent =
  | ({ readonly type: 'put' } & StoredInstance)
  | { readonly type: 'delete'; readonly key: string };

export class Roster {
  readonly name: string;
  readonly #instances = new Map<string, ServiceInstance>();
  /** Null: to be put in order again. */
  #ordered: readonly ServiceInstance[] | null = null;
  #revision = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Of the last change that it has heard of, or of the list that it began with. */
  get revision(): number {
    return this.#revision;
  }

  /** Everything there is. Throws ERR_TOO_LARGE. */
  reset(revision: number, entries: readonly StoredInstance[]): void {
    this.#instances.clear();
    this.add(revision, entries);
  }

  /** More of what there is: the next page. Throws ERR_TOO_LARGE, before more is read than is kept. */
  add(revision: number, entries: readonly StoredInstance[]): void {
    for (const entry of entries) this.#put(entry);
    this.#moved(revision);
  }

  /** What one revision changed. Throws ERR_TOO_LARGE. */
  apply(revision: number, events: readonly InstanceEvent[]): void {
    for (const event of events) {
      if (event.type === 'put') this.#put(event);
      else this.#instances.delete(event.key);
    }
    this.#moved(revision);
  }

  /** All of them, in order. */
  get instances(): readonly ServiceInstance[] {
    return (this.#ordered ??= [...this.#instances]
      .map(([key, instance]) => [byteKeyOfText(key), instance] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, instance]) => instance));
  }

  view(passing: boolean): ServiceView {
    const { name, revision, instances } = this;
    return { name, revision, instances: passing ? instances.filter(isPassing) : instances };
  }

  #put(entry: StoredInstance): void {
    const instance = instanceOf(entry);
    if (instance === null) {
      this.#instances.delete(entry.key);
      return;
    }
    this.#instances.set(entry.key, instance);
    if (this.#instances.size > MAX_INSTANCES) {
      throw new KvorumError(
        'ERR_TOO_LARGE',
        `service ${JSON.stringify(this.name)} has more than ${MAX_INSTANCES} instances`,
        {
          details: { limit: MAX_INSTANCES },
        },
      );
    }
  }

  #moved(revision: number): void {
    this.#revision = revision;
    this.#ordered = null;
  }
}

export function isPassing({ status }: ServiceInstance): boolean {
  return status === 'passing';
}

/** What a history of list-append transactions says: who appended what, and in which order the elements of each key stand. */
import type { Operation } from './history.ts';
import { canonicalText } from './interner.ts';
import { recordError } from './record.ts';
import { valueText } from './words.ts';

export interface Append {
  readonly txn: Txn;
  readonly key: string;
  readonly element: string;
  /** It is the last one of its transaction to this key. */
  readonly isFinal: boolean;
}

export interface Read {
  readonly txn: Txn;
  readonly key: string;
  readonly elements: readonly string[];
  /** Number of elements at the end that the transaction appended itself before. */
  readonly own: number;
}

/** `committed`: it was acknowledged, or somebody saw something of it. `aborted`: it certainly did not happen. */
export type TxnState = 'committed' | 'aborted' | 'unseen';

export class Txn {
  readonly number: number;
  readonly operation: Operation;
  state: TxnState;
  readonly appends: Append[] = [];
  /** Empty unless it was acknowledged: what others read is not known. */
  readonly reads: Read[] = [];

  constructor(number: number, operation: Operation) {
    this.number = number;
    this.operation = operation;
    this.state = operation.fail === true ? 'aborted' : operation.return === null ? 'unseen' : 'committed';
  }

  get isAcknowledged(): boolean {
    return this.operation.return !== null && this.operation.fail !== true;
  }

  /** `client 3's transaction [["r",1,[]]] from 10 to 20`. */
  get text(): string {
    const { client, call, return: returned, input, output } = this.operation;
    const steps = valueText(this.isAcknowledged ? output : input);
    const until = returned === null ? ', never answered' : ` to ${returned}`;
    return `client ${client}'s ${steps} from ${call}${until}`;
  }
}

export class TxnHistory {
  readonly txns: readonly Txn[];
  /** By key and element. */
  readonly appends = new Map<string, Map<string, Append>>();
  readonly reads: readonly Read[];
  /** The longest list read of each key. */
  readonly orders = new Map<string, readonly string[]>();
  readonly #longest = new Map<string, Read>();

  constructor(operations: readonly Operation[]) {
    this.txns = operations.map((operation, number) => new Txn(number, operation));
    for (const txn of this.txns) this.#readSteps(txn);
    this.reads = this.txns.flatMap((txn) => txn.reads);
    for (const read of this.reads) {
      const longest = this.#longest.get(read.key);
      if (longest === undefined || read.elements.length > longest.elements.length) this.#longest.set(read.key, read);
      for (const element of read.elements) {
        const writer = this.appendOf(read.key, element)?.txn;
        if (writer?.state === 'unseen') writer.state = 'committed';
      }
    }
    for (const [key, read] of this.#longest) this.orders.set(key, read.elements);
  }

  appendOf(key: string, element: string | undefined): Append | undefined {
    return element === undefined ? undefined : this.appends.get(key)?.get(element);
  }

  longestRead(key: string): Read | undefined {
    return this.#longest.get(key);
  }

  #readSteps(txn: Txn): void {
    const { input, output } = txn.operation;
    const steps = input as readonly (readonly unknown[])[];
    const answers = txn.isAcknowledged ? (output as readonly (readonly unknown[])[]) : [];
    const finals = new Map<string, number>();
    steps.forEach(([kind, key], at) => {
      if (kind === 'append') finals.set(canonicalText(key), at);
    });
    const own = new Map<string, string[]>();
    steps.forEach(([kind, name, value], at) => {
      const key = canonicalText(name);
      if (kind === 'append') {
        const element = canonicalText(value);
        const append = { txn, key, element, isFinal: finals.get(key) === at };
        txn.appends.push(append);
        this.#addAppend(append);
        own.set(key, [...(own.get(key) ?? []), element]);
        return;
      }
      const list = answers[at]?.[2];
      if (answers[at] === undefined) return;
      const elements = Array.isArray(list) ? list.map(canonicalText) : [];
      const mine = own.get(key) ?? [];
      const endsWithOwn = mine.every((element, back) => elements[elements.length - mine.length + back] === element);
      txn.reads.push({ txn, key, elements, own: endsWithOwn ? mine.length : 0 });
    });
  }

  #addAppend(append: Append): void {
    let elements = this.appends.get(append.key);
    if (elements === undefined) {
      elements = new Map();
      this.appends.set(append.key, elements);
    }
    if (elements.has(append.element)) {
      const message = `${append.element} is appended to ${append.key} a second time: then reads do not tell the order`;
      throw recordError('not-of-model', message, { index: append.txn.number });
    }
    elements.set(append.element, append);
  }
}

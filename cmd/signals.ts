/** Signals for a command that goes on for long. What they mean depends on what it does just now. */
import os from 'node:os';

/** Those that ask a process to end, and those that mean whatever the receiver makes of them. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const OTHER = ['SIGUSR1', 'SIGUSR2'] as const;

export class Signals {
  /** First signal that asked for the end; null: none did. */
  asked: NodeJS.Signals | null = null;
  #meaning: (signal: NodeJS.Signals) => void = () => undefined;
  readonly #listeners: (() => void)[] = [];

  constructor() {
    for (const signal of ENDING) {
      this.#listen(signal, () => {
        this.asked ??= signal;
        this.#meaning(signal);
      });
    }
  }

  /** From now on it means this. */
  mean(meaning: (signal: NodeJS.Signals) => void): void {
    this.#meaning = meaning;
  }

  /** Also hears SIGUSR1 and SIGUSR2, which then do nothing by themselves any more. */
  hearAll(): void {
    for (const signal of OTHER) this.#listen(signal, () => this.#meaning(signal));
  }

  close(): void {
    for (const stop of this.#listeners.splice(0)) stop();
  }

  #listen(signal: NodeJS.Signals, listener: () => void): void {
    process.on(signal, listener);
    this.#listeners.push(() => process.off(signal, listener));
  }
}

/** What a shell makes of a process that a signal ended. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + (os.constants.signals[signal] ?? 0);
}

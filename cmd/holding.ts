/** Holding something, a lock for one, while a command runs. */
import { spawn } from 'node:child_process';
import tty from 'node:tty';

import type { Hold } from '../src/client/index.ts';
import { KvorumError } from '../src/errors.ts';
import { EXIT, reportError, type ExitCode } from './exit.ts';
import { showOwner } from './lock-output.ts';
import { option, type Options } from './options.ts';
import { duration, json } from './parse.ts';
import { exitCodeOfSignal, Signals } from './signals.ts';

export const HOLDING_OPTIONS = {
  ttl: option({
    flags: '--ttl <duration>',
    description: 'how long it outlives this process when that is cut off or killed: 1s to 24h',
    parse: duration(1000, 24 * 3_600_000),
    fallback: 15_000,
    shown: '15s',
    callOnly: true,
  }),
  owner: option({
    flags: '--owner <json>',
    description: 'who this is, shown to whoever looks (default: host and pid)',
    parse: json,
    fallback: undefined,
    callOnly: true,
  }),
} satisfies Options;

export const COMMAND_OPTIONS = {
  killAfter: option({
    flags: '--kill-after <duration>',
    description: 'when it was lost the command gets SIGTERM, and SIGKILL after this long',
    parse: duration(0, 3_600_000),
    fallback: 5000,
    shown: '5s',
    callOnly: true,
  }),
} satisfies Options;

const DUPLICATE_WINDOW_MS = 1000;

/** What is held, as far as it matters to a command. */
export type Held = Pick<Hold, 'name' | 'lease' | 'signal' | 'guard' | 'remaining' | 'close'> & {
  /** Null for what has none. */
  readonly token: number | null;
  /** For the command, beside what is known before it is held. */
  readonly environment?: Readonly<Record<string, string>>;
};

export interface Holding {
  /** For people: `lock "orders"`. */
  readonly what: string;
  /** To run; empty: it is held until somebody asks for the end. */
  readonly command: readonly string[];
  /** Beside `KVORUM_FENCE` and `KVORUM_LEASE`. */
  readonly environment: Readonly<Record<string, string>>;
  readonly killAfterMs: number;
  /** How long giving it back may take. */
  readonly releaseMs: number;
  readonly json: boolean;
  /** When it was lost, it is asked for again. */
  readonly again: boolean;
  readonly acquire: (signal: AbortSignal) => Promise<Held>;
  /** Without a command: what is printed once it is held, with json and without, and what people are told. Default: token and lease. */
  readonly told?: (held: Held) => { readonly json: object; readonly line: string; readonly words: string };
}

/** How a command ended. */
interface Ended {
  readonly code: ExitCode;
  readonly lost: boolean;
}

/**
 * Acquires, runs the command, gives back. The exit code is the command's own, 128 + n when signal n ended it, EXIT.lost when the hold was lost meanwhile: then
 * the command was stopped, and nothing that it did last was covered.
 */
export async function hold(holding: Holding): Promise<ExitCode> {
  const signals = new Signals();
  // Opened before the command shares it: opening a pipe makes it one that does not wait, for all who have it.
  process.stderr.on('error', () => undefined);
  try {
    for (;;) {
      const held = await acquire(holding, signals);
      if (held === null) return exitCodeOfSignal(signals.asked ?? 'SIGTERM');
      const { code, lost } =
        holding.command.length > 0
          ? await runCommand(holding, held, signals)
          : await waitForTheEnd(holding, held, signals);
      const since = performance.now();
      signals.mean(() => {
        // One Ctrl-C often arrives twice; a later one does not wait until it is given back.
        if (performance.now() - since >= DUPLICATE_WINDOW_MS) process.exit(code);
      });
      if (!lost) {
        await giveBack(holding, held);
        return code;
      }
      report(lossOf(held), holding);
      // Of no use to anybody any more; that it is let in again need not wait for it.
      held.close().catch(() => undefined);
      if (!holding.again || signals.asked !== null) return code;
    }
  } finally {
    signals.close();
  }
}

/** Null: somebody asked for the end before. */
async function acquire(holding: Holding, signals: Signals): Promise<Held | null> {
  const giveUp = new AbortController();
  signals.mean(() => giveUp.abort());
  let held: Held;
  try {
    if (signals.asked !== null) return null;
    held = await holding.acquire(giveUp.signal);
  } catch (error) {
    if (giveUp.signal.aborted) return null;
    throw KvorumError.is(error, 'ERR_LOCK_HELD') ? heldBy(holding.what, error) : error;
  }
  if (signals.asked === null) return held;
  await giveBack(holding, held);
  return null;
}

/** The same, and who it is. */
function heldBy(what: string, error: KvorumError): KvorumError {
  const { holder } = error.details;
  if (typeof holder !== 'object' || holder === null) return error;
  const { owner, token, since } = holder as { owner?: unknown; token?: unknown; since?: unknown };
  const when = typeof since === 'number' ? ` since ${new Date(since).toISOString()}` : '';
  const text = `${what} is held by ${showOwner(owner)}, token ${String(token)}${when}`;
  return new KvorumError(error.code, text, {
    outcome: error.outcome,
    details: error.details,
    cause: error,
  });
}

/** Runs the command with the terminal, pipes and files of this process. */
async function runCommand(holding: Holding, held: Held, signals: Signals): Promise<Ended> {
  held.guard();
  const [program = '', ...args] = holding.command;
  const child = spawn(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ...environmentOf(held), ...holding.environment },
  });
  const ended = new Promise<ExitCode>((resolve) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return;
      // As shells say it.
      console.error(`kvorum: ${program}: ${error.code === 'ENOENT' ? 'there is no such command' : error.message}`);
      resolve(error.code === 'ENOENT' ? 127 : 126);
    });
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? EXIT.failure) : exitCodeOfSignal(signal)));
  });
  // Ctrl-C reaches all processes of a terminal's foreground by itself; passed on, it would reach the command twice.
  const terminal = [0, 1, 2].some((fd) => tty.isatty(fd));
  signals.hearAll();
  signals.mean((signal) => {
    if (!terminal || (signal !== 'SIGINT' && signal !== 'SIGQUIT')) child.kill(signal);
  });
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill('SIGTERM');
    // One that is stopped would not hear of it.
    child.kill('SIGCONT');
    killer = setTimeout(() => child.kill('SIGKILL'), holding.killAfterMs);
  };
  held.signal.addEventListener('abort', stop, { once: true });
  if (held.signal.aborted && killer === undefined) stop();
  const code = await ended;
  // Asked before the listener goes: the clock is looked at once more.
  const lost = held.signal.aborted;
  held.signal.removeEventListener('abort', stop);
  clearTimeout(killer);
  return lost ? { code: EXIT.lost, lost } : { code, lost };
}

/** Says that it is held, and waits. */
async function waitForTheEnd(
  { what, json: asJson, told = tokenOf }: Holding,
  held: Held,
  signals: Signals,
): Promise<Ended> {
  const { write, writeJson } = await import('./output.ts');
  const { json: shown, line, words } = told(held);
  if (asJson) {
    await writeJson(shown);
  } else {
    await write(`${line}\n`);
    console.error(`kvorum: ${what} is ${words}`);
  }
  return await new Promise<Ended>((resolve) => {
    // Timers of the client do not keep a process alive; this one does, and looks at the clock.
    const timer = setInterval(() => held.remaining(), 1000);
    const end = (result: Ended): void => {
      clearInterval(timer);
      held.signal.removeEventListener('abort', onLoss);
      resolve(result);
    };
    const onLoss = (): void => end({ code: EXIT.lost, lost: true });
    held.signal.addEventListener('abort', onLoss, { once: true });
    signals.mean(() => end({ code: EXIT.ok, lost: false }));
    if (held.signal.aborted) onLoss();
    else if (signals.asked !== null) end({ code: EXIT.ok, lost: false });
  });
}

function tokenOf({ name, token, lease }: Held): { json: object; line: string; words: string } {
  return {
    json: { name, token, lease },
    line: String(token),
    words: `held, token ${token}, lease ${lease}; Ctrl-C gives it back`,
  };
}

function environmentOf({ token, lease, environment }: Held): Record<string, string> {
  return { ...(token !== null && { KVORUM_FENCE: String(token) }), KVORUM_LEASE: lease, ...environment };
}

async function giveBack(holding: Holding, held: Held): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = `${holding.what} could not be given back in time; it ends by itself after its time to live`;
      reject(new KvorumError('ERR_TIMEOUT', text, { outcome: 'unknown' }));
    }, holding.releaseMs);
  });
  try {
    await Promise.race([held.close(), late]);
  } catch (error) {
    // What the command did is done; its code tells more than this.
    report(error, holding);
  } finally {
    clearTimeout(timer);
  }
}

function lossOf(held: Held): unknown {
  try {
    held.guard();
  } catch (error) {
    return error;
  }
  return new KvorumError('ERR_LOCK_LOST', `${held.name} was lost`);
}

function report(error: unknown, { json: asJson }: Holding): void {
  reportError(error, { json: asJson });
}

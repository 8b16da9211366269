/** Runs the CLI in this process: a twentieth of the time of a process of its own, for all that has nothing to do with processes. One at a time. */
import { CommanderError } from 'commander';
import { vi } from 'vitest';

import { EXIT } from '../../cmd/exit.ts';
import { buildProgram } from '../../cmd/program.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** As `kvorum ARGS`, with no other variables of Kvorum than `environment`. `terminals`: what is to be one. */
export async function inProcess(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  terminals: readonly ('stdout' | 'stderr')[] = [],
): Promise<Ended> {
  const printed = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk: string | Uint8Array, ...rest: unknown[]) => {
      printed[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      const taken = rest.at(-1);
      if (typeof taken === 'function') (taken as () => void)();
      return true;
    });
  for (const name of Object.keys(process.env)) if (name.startsWith('KVORUM_')) vi.stubEnv(name, undefined);
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  const spies = [
    into('stdout'),
    into('stderr'),
    vi.spyOn(console, 'error').mockImplementation((line: unknown) => {
      printed.stderr += `${String(line)}\n`;
    }),
    // Of commands that end whatever is still open: here nothing is.
    vi.spyOn(process, 'exit').mockImplementation(() => undefined as never),
  ];
  const before = process.exitCode;
  const { stdout, stderr } = process;
  const wereTerminals = [stdout.isTTY, stderr.isTTY] as const;
  [stdout.isTTY, stderr.isTTY] = [terminals.includes('stdout'), terminals.includes('stderr')];
  process.exitCode = undefined;
  try {
    const context = { environment, workingDirectory: '/', knownKeys: new Set<string>(), rawArguments: () => args };
    await buildProgram(context).parseAsync(args, { from: 'user' });
    return { code: exitCodeNow(), ...printed };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { code: error.exitCode === 0 ? EXIT.ok : EXIT.usage, ...printed };
  } finally {
    process.exitCode = before;
    [stdout.isTTY, stderr.isTTY] = wereTerminals;
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}

function exitCodeNow(): number {
  return Number(process.exitCode ?? EXIT.ok);
}

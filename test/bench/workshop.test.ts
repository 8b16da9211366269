import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';

const WORKSHOP = pathToFileURL(join(import.meta.dirname, '..', '..', 'bench', 'workshop.ts')).href;

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A run that has started a server, which would stay for an hour. */
async function run(ending: string): Promise<{ pid: number; folder: string; child: ReturnType<typeof spawn> }> {
  const source = `
    import { Workshop } from ${JSON.stringify(WORKSHOP)};
    const workshop = new Workshop();
    const { pid } = workshop.start(process.execPath, ['-e', 'setTimeout(() => {}, 3600000)']);
    console.log(JSON.stringify({ pid, folder: workshop.folder }));
    setTimeout(() => {}, 3600000);
    ${ending}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'ignore'] });
  const line = await new Promise<string>((resolve) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString()));
  });
  return { ...(JSON.parse(line) as { pid: number; folder: string }), child };
}

it.concurrent.each([
  ['its end', 'setTimeout(() => process.exit(0), 50);', null],
  ['an error', "setTimeout(() => { throw new Error('x'); }, 50);", null],
  ['SIGINT', '', 'SIGINT'],
  ['SIGTERM', '', 'SIGTERM'],
  ['SIGKILL', '', 'SIGKILL'],
] as const)(
  'a run leaves nothing behind after %s',
  async (_name, ending, signal) => {
    const { pid, folder, child } = await run(ending);
    if (signal !== null) child.kill(signal);
    await vi.waitFor(
      () => {
        expect(lives(pid)).toBe(false);
        expect(existsSync(folder)).toBe(false);
      },
      { timeout: 20_000, interval: 20 },
    );
  },
  30_000,
);

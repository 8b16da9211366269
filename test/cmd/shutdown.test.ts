/** What a signal means, by when it comes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';

import { cleanEnvironment } from './cli.ts';

const SHUTDOWN = path.join(import.meta.dirname, '../../cmd/shutdown.ts');

/** Says what it is asked, stops when it is forced. */
const PROGRAM = `
  const { listenForStop, askWhenStdinEnds } = await import(${JSON.stringify(SHUTDOWN)});
  const ask = listenForStop({
    stop: (reason) => console.log('stop ' + reason),
    force: (reason) => { console.log('force ' + reason); process.exit(1); },
  });
  askWhenStdinEnds(ask);
  // After the listeners that are tested: when this is said, they have been called.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => console.log('heard ' + signal));
  setInterval(() => undefined, 1000);
  console.log('up');
`;

class Program {
  readonly child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    env: cleanEnvironment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  readonly exited = once(this.child, 'exit');
  #text = '';
  #waiting: () => void = () => undefined;

  constructor() {
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
      this.#waiting();
    });
    onTestFinished(() => void this.child.kill('SIGKILL'));
  }

  get #lines(): string[] {
    return this.#text.trimEnd().split('\n');
  }

  get decisions(): string[] {
    return this.#lines.filter((line) => !line.startsWith('heard '));
  }

  async said(line: string): Promise<void> {
    while (!this.#lines.includes(line)) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
  }
}

test('a second signal within a second is the same request, a later one means now', async () => {
  const program = new Program();
  await program.said('up');
  program.child.kill('SIGINT');
  await program.said('stop SIGINT');
  program.child.kill('SIGTERM');
  await program.said('heard SIGTERM');
  program.child.kill('SIGINT');
  // The passing of this second is the input, not a wait for something.
  await delay(1100);
  expect(program.decisions).toEqual(['up', 'stop SIGINT']);
  program.child.kill('SIGINT');
  expect(await program.exited).toEqual([1, null]);
  expect(program.decisions).toEqual(['up', 'stop SIGINT', 'force SIGINT']);
});

test('the end of standard input asks as well, and never forces', async () => {
  const program = new Program();
  await program.said('up');
  program.child.stdin?.end();
  await program.said('stop end of standard input');
  program.child.kill('SIGTERM');
  await program.said('heard SIGTERM');
  expect(program.decisions).toEqual(['up', 'stop end of standard input']);
});

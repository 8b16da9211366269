/** The process that shim.test.ts puts under the shim: does what each line of standard input says, and answers with a line. */
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Level } from 'level';

const [root = ''] = process.argv.slice(2);
mkdirSync(root, { recursive: true });
const db = new Level(path.join(root, 'db'));
await db.open();

const VALUE = 'x'.repeat(200);

const COMMANDS: Record<string, (one: string, two: string) => unknown> = {
  sync: async (key) => await db.put(key, VALUE, { sync: true }),
  put: async (key) => await db.put(key, VALUE),
  file: (name) => writeFileSync(name, 'text'),
  append: (name) => appendFileSync(name, 'text'),
  'sync-file': (name, text) => {
    const file = openSync(name, 'w');
    writeSync(file, text);
    fsyncSync(file);
    closeSync(file);
  },
  rename: (from, to) => renameSync(from, to),
  unlink: (name) => unlinkSync(name),
  clock: () => ({ wall: Date.now(), monotonic: performance.now() }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command = '', one = '', two = ''] = line.split(' ');
  let answer: unknown;
  try {
    answer = (await COMMANDS[command]?.(one, two)) ?? { ok: true };
  } catch (error) {
    const { message, cause } = error as Error;
    answer = { ok: false, error: `${message} ${cause instanceof Error ? cause.message : ''}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

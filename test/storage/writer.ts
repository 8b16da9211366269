/**
 * Run as a process of its own, to be killed: appends entries one after the other, and prints the index of each that
 * was acknowledged. `node writer.ts DIRECTORY small|large`; stops by itself when the store is poisoned, and tells.
 */
import { writeSync } from 'node:fs';
import { openLevelStore } from '../../src/storage/level-store.ts';

const [directory, size] = process.argv.slice(2) as [string, string];
const store = await openLevelStore({ directory });
const { log } = store.group(1);
const data = new Uint8Array(size === 'large' ? 40_000 : 100).fill(7);

function next(): void {
  const index = log.lastIndex() + 1;
  log.append([{ index, term: 1, kind: 'command', data }]);
  store.commit(true, (error) => {
    if (error === null) {
      writeSync(1, `${index}\n`);
      setImmediate(next);
    } else {
      writeSync(1, `poisoned ${(error as Error & { code: string }).code}\n`);
      // Stays, and keeps trying, as a careless caller would.
      setInterval(() => {
        store.commit(true, (again) => writeSync(1, again === null ? 'accepted\n' : 'refused\n'));
      }, 20);
    }
  });
}
next();

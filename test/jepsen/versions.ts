/** What ran on what. */
import { readFileSync } from 'node:fs';

import { machineInfo } from '../../bench/machine.ts';
import type { Versions } from './result.ts';

export function versions(): Versions {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const { cpu, cores, memoryGiB, system, commit } = machineInfo();
  return {
    ...{ kvorum: version, commit: commit ?? 'unknown', node: process.version },
    system: `${system}, ${cores} × ${cpu}, ${memoryGiB} GiB`,
  };
}

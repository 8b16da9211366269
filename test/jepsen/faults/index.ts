/** What can happen to the disk and the clock of a node. How, with root and without: docs/scenarios.md. */
import type { Nemesis } from '../types.ts';
import { clockDrift, clockJump } from './clock.ts';
import { diskFull, ioError } from './failing-disk.ts';
import { corruptByte, oldCopy, truncated, wipe } from './lost-data.ts';
import { powerLoss } from './power-loss.ts';
import { slowDisk } from './slow-disk.ts';

export const diskAndClockNemeses: readonly Nemesis[] = [
  powerLoss,
  slowDisk,
  ioError,
  diskFull,
  clockJump,
  clockDrift,
  corruptByte,
  truncated,
  oldCopy,
  wipe,
];

export { expectedEnds } from './equipment.ts';

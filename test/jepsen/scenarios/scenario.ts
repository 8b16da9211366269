/** What a scenario is: one story of trouble, played by real processes, with what must hold in the end. */
import type { Lab } from '../types.ts';
import type { Stage } from './stage.ts';

export interface Scenario {
  /** Its place in the list that every release passes. */
  readonly number: number;
  readonly name: string;
  readonly about: string;
  /** Default 3. */
  readonly nodes?: number;
  /** More arguments of every node. */
  readonly args?: readonly string[];
  /** Null when it can be played here, else the reason for `skipped: reason`. */
  probe(): Promise<string | null>;
  /** Before the nodes start for the first time; undone by `dispose`. */
  prepare?(lab: Lab): Promise<void>;
  dispose?(lab: Lab): Promise<void>;
  /** All nodes serve. Whatever is broken when it ends is healed and checked by the stage. */
  run(stage: Stage): Promise<void>;
}

export const everywhere = async (): Promise<null> => await Promise.resolve(null);

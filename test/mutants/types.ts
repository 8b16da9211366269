/** The vocabulary of the mutation proof: a defect is one wrong change of the shipped source, put into a copy of the tree. */

/** Decides which tests are asked. */
export type Room = 'raft' | 'machine' | 'storage' | 'replica' | 'transport' | 'gossip' | 'members';

export interface Edit {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

export interface Defect extends Edit {
  readonly name: string;
  readonly room: Room;
  /** The rule that it breaks, with where the rule comes from. */
  readonly about: string;
  /** What has to go with it, such as an assertion that would be the one to notice, or the other end of a format. */
  readonly also?: readonly Edit[];
}

export type RoomDefect = Omit<Defect, 'room'>;

export function inRoom(room: Room, defects: readonly RoomDefect[]): Defect[] {
  return defects.map((defect) => ({ ...defect, room }));
}

export function editsOf(defect: Defect): readonly Edit[] {
  const { file, find, replace } = defect;
  return [{ file, find, replace }, ...(defect.also ?? [])];
}

/** What clients saw: the record that the simulator, the fault lab and outside recordings share. */

/** One operation of one client. Times are any monotonic unit, the same for all clients. */
export interface Operation {
  /** Who asked; one client has one operation open at a time, unless an earlier one is open for ever. */
  readonly client: number | string;
  /** `get`, `put`, `cas`, `append`, `delete`, …: the words of the model. */
  readonly op: string;
  readonly key: string;
  readonly input: unknown;
  /** Of an operation that ended well; otherwise without meaning. */
  readonly output: unknown;
  readonly call: number;
  /** null: no answer. It may have happened at any time after `call`, or never. */
  readonly return: number | null;
  /** True: it certainly did not happen. */
  readonly fail?: boolean;
}

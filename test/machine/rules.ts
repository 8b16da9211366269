/** What has to hold after every entry of any log: nothing is left behind, nothing is done twice, no token comes again. */
import assert from 'node:assert/strict';
import { KEEP_KEYS_MS } from '../../src/kv/once.ts';
import { decodeCommand } from '../../src/machine/command.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { AppliedEntry, CommandResult, Once } from '../../src/machine/types.ts';
import { plain } from './harness.ts';

const NOTHING_DONE = ['ERR_SESSION_EXPIRED', 'ERR_IDEMPOTENCY_MISMATCH', 'ERR_OVERLOADED'];

export class Rules {
  readonly #answers = new Map<string, { result: CommandResult; time: number; body: string }>();
  readonly #tokens = new Map<string, number>();
  readonly #leases = new Set<string>();

  check(entry: AppliedEntry, result: CommandResult | null, machine: Machine): void {
    if (entry.kind === 'command' && result !== null) this.#once(entry, result, machine);
    this.#locks(machine);
    nothingIsLeftBehind(machine);
    for (const { id } of machine.coordinator.leases.all()) {
      if (this.#leases.has(id)) continue;
      assert.equal(id, String(entry.index));
      this.#leases.add(id);
    }
  }

  #once(entry: AppliedEntry, result: CommandResult, machine: Machine): void {
    const { once, operation, body } = decodeCommand(entry.data);
    if (once === null) {
      assert.equal(result.replayed, undefined);
      return;
    }
    const id = nameOf(once);
    const asked = operation.type + Buffer.from(body as Uint8Array).toString('hex');
    const before = this.#answers.get(id);
    if (result.replayed === true) {
      assert.equal(asked, before?.body);
      assert.deepEqual(plain(result), plain({ ...before?.result, replayed: true }));
      return;
    }
    if (!result.ok && NOTHING_DONE.includes(result.code)) return;
    // Done: for the first time, or the key was forgotten when its hour was over.
    if (before !== undefined) {
      assert('key' in once, 'a number of a session is used once');
      assert(machine.time - before.time >= KEEP_KEYS_MS, 'a key is remembered for an hour');
    }
    this.#answers.set(id, { result, time: machine.time, body: asked });
  }

  #locks(machine: Machine): void {
    const { locks } = machine.coordinator;
    for (const name of locks.names('', null, 1000)) {
      const record = locks.get(name);
      const holders = record?.holders ?? [];
      const last = this.#tokens.get(name) ?? 0;
      const tokens = holders.map(({ token }) => token);
      assert.deepEqual(
        tokens,
        [...new Set(tokens)].toSorted((a, b) => a - b),
      );
      // Whoever holds it now and did not before has a larger token than anybody had.
      const fresh = tokens.filter((token) => token > last);
      assert.deepEqual(
        tokens.filter((token) => token <= last && !this.#tokens.has(`${name}\n${token}`)),
        [],
      );
      for (const token of fresh) this.#tokens.set(`${name}\n${token}`, token);
      if (fresh.length > 0) this.#tokens.set(name, Math.max(...fresh));
      if (record?.kind === 'semaphore') assert(holders.length <= record.limit);
      else if (holders.some(({ mode }) => mode === 'write')) assert.equal(holders.length, 1);
    }
  }
}

/** Whatever hangs on a lease, hangs on one that there is; one that was made for a lock has something to live for. */
function nothingIsLeftBehind({ coordinator, kv }: Machine): void {
  const { leases, locks, once } = coordinator;
  const using = new Set<string>();
  for (const name of locks.names('', null, 1000)) {
    for (const { lease } of [...(locks.get(name)?.holders ?? []), ...locks.queue(name)]) {
      assert(leases.has(lease), `${name} is held or waited for by lease ${lease}`);
      assert(locks.namesOf(lease).includes(name));
      using.add(lease);
    }
  }
  for (const { id, ofLock } of leases.all()) assert(!ofLock || using.has(id), `lease ${id} has nothing to live for`);
  const all = { start: '', end: null, limit: 10_000, after: null, keysOnly: true, countOnly: false };
  for (const { lease } of kv.range(all).entries) assert(lease === null || leases.has(lease));
  assert(once.sessionCount <= coordinator.leaseCount);
}

function nameOf(once: Once): string {
  return 'key' in once ? `key ${once.key}` : `session ${once.session} ${once.sequence}`;
}

/** Who is registered: read once, or followed. */
import type { Consistency, RawEntry, RawKeyEntry } from '../api.ts';
import { textOfByteKey } from '../bytes.ts';
import type { RunOptions } from '../caller.ts';
import { bytes } from '../codec.ts';
import type { Core } from '../core.ts';
import type { Duration } from '../duration.ts';
import { listedAnew, listPages } from '../listing.ts';
import { openWatch } from '../watch.ts';
import { Census } from './census.ts';
import type { ServiceSummary } from './census.ts';
import { checkName, SERVICES_END, servicePrefix, SERVICES_PREFIX } from './instance.ts';
import type { StoredInstance } from './instance.ts';
import { Roster } from './roster.ts';

/** Rejects ERR_TOO_LARGE for more than 10,000 instances. */
export async function callRoll(core: Core, name: string, run: RunOptions, consistency?: Consistency): Promise<Roster> {
  checkName('name', name);
  return listedAnew(async () => {
    const roster = new Roster(name);
    for await (const page of listPages(core, { prefix: servicePrefix(name) }, run, consistency)) {
      roster.add(page.revision, page.entries.map(storedOf));
    }
    return roster;
  });
}

/** The service as it is, and again whenever any of its instances changed, until `ended`. The first answer has as long as any call. */
export async function* followRoll(
  core: Core,
  name: string,
  ended: AbortSignal,
  idleTimeout?: Duration,
): AsyncGenerator<Roster, undefined> {
  const roster = await callRoll(core, name, { signal: ended });
  yield roster;
  const watch = openWatch(core, bytes, {
    prefix: servicePrefix(name),
    from: roster.revision + 1,
    resync: true,
    signal: ended,
    ...(idleTimeout !== undefined && { idleTimeout }),
  });
  for await (const batch of watch) {
    if (batch.resync) roster.reset(batch.revision, batch.entries);
    else roster.apply(batch.revision, batch.events);
    yield roster;
  }
  return undefined;
}

/** Services that have an instance at least, in the order of their keys. */
export async function callNames(
  core: Core,
  run: RunOptions,
  consistency?: Consistency,
): Promise<readonly ServiceSummary[]> {
  return listedAnew(async () => {
    const census = new Census();
    for await (const { entries } of listPages(core, { start: SERVICES_PREFIX, end: SERVICES_END }, run, consistency)) {
      for (const entry of entries) census.count(storedOf(entry));
    }
    return census.services;
  });
}

/** A key that is not UTF-8 is nobody's: '' is none either. */
export function storedOf(raw: RawEntry | RawKeyEntry): StoredInstance {
  return { ...(raw as RawEntry), key: textOfByteKey(raw.key) ?? '' };
}

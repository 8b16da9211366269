/** Locks and those who hold them, for people. */
import { printable, table } from './output.ts';

/** As the HTTP API gives it. */
export interface JsonLock {
  readonly name: string;
  readonly kind: string;
  readonly limit: number;
  readonly holders: readonly (JsonWaiter & { readonly token: number; readonly since: number })[];
  readonly queue: readonly JsonWaiter[];
}

interface JsonWaiter {
  readonly lease: string;
  readonly mode: string;
  readonly owner: unknown;
}

export function showLock({ name, kind, limit, holders, queue }: JsonLock): string {
  if (holders.length + queue.length === 0) return `nobody uses ${printableName(name)}\n`;
  const of = limit === 1 ? '' : ` of ${limit}`;
  const rows = [
    ...holders.map(({ token, since, ...rest }) => [
      'holds',
      String(token),
      ...who(rest),
      new Date(since).toISOString(),
    ]),
    ...queue.map((waiter) => ['waits', '-', ...who(waiter), '-']),
  ];
  const head = `${kind} ${printableName(name)}: held by ${holders.length}${of}, ${queue.length} waiting\n\n`;
  return head + table(['', 'TOKEN', 'LEASE', 'MODE', 'OWNER', 'SINCE'], rows);
}

export function showLocks(locks: readonly JsonLock[]): string {
  return table(
    ['NAME', 'KIND', 'HELD', 'WAITING', 'TOKEN', 'OWNER'],
    locks.map(({ name, kind, limit, holders, queue }) => [
      printable(name),
      kind,
      limit === 1 ? String(holders.length) : `${holders.length}/${limit}`,
      String(queue.length),
      String(holders.at(-1)?.token ?? '-'),
      holders.length === 0 ? '-' : showOwner(holders.at(-1)?.owner),
    ]),
  );
}

export function showOwner(owner: unknown): string {
  return owner === null || owner === undefined ? '-' : printable(JSON.stringify(owner));
}

/** In quotes, so that one sees where it ends. */
export function printableName(name: string): string {
  return `"${printable(name)}"`;
}

function who({ lease, mode, owner }: JsonWaiter): string[] {
  return [lease, mode, showOwner(owner)];
}

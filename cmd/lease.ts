/** `kvorum lease grant | renew | revoke | get | list | keep` */
import { setTimeout as delay } from 'node:timers/promises';

import type { Connection, Request } from './client.ts';
import type { CommandDeclaration, CommandGroup } from './command.ts';
import { CLIENT_OPTIONS, connectionOf, ONCE_OPTION } from './connection.ts';
import { EXIT, exitCodeOf, UsageError } from './exit.ts';
import { HOLDING_OPTIONS } from './holding.ts';
import { showOwner } from './lock-output.ts';
import { option, type Options } from './options.ts';
import { printable, table, tell, writeJson } from './output.ts';
import { allPages } from './pages.ts';
import { flag, leaseId, showDuration } from './parse.ts';
import { Signals } from './signals.ts';

interface JsonLease {
  readonly id: string;
  readonly ttlMs: number;
  readonly remainingMs: number;
  readonly owner: unknown;
  readonly keys: readonly string[];
  readonly locks: readonly string[];
}

type Granted = Pick<JsonLease, 'id' | 'ttlMs'>;

const ID: readonly [string, string] = ['<ID>', 'of the lease'];

const GRANT_OPTIONS = { ...HOLDING_OPTIONS, ...ONCE_OPTION, ...CLIENT_OPTIONS } satisfies Options;

const grant: CommandDeclaration<typeof GRANT_OPTIONS> = {
  name: 'grant',
  summary: 'make a lease',
  description:
    'Make a lease, and print its id. It ends by itself unless it is renewed, and with it the keys that hang on it.',
  args: [],
  options: {
    ...GRANT_OPTIONS,
    ttl: { ...GRANT_OPTIONS.ttl, description: 'how long it lives without a renewal: 1s to 24h' },
    owner: { ...GRANT_OPTIONS.owner, description: 'who made it, shown to whoever looks (default: nothing)' },
  },
  examples: [
    ['kvorum lease grant --ttl 1m', ''],
    ['kvorum put workers/7 up --lease "$(kvorum lease grant)"', 'a key that goes after 15 seconds'],
  ],
  run: async ({ values }) => {
    const { ttl, owner, once } = values;
    const json = { ttl, ...(owner !== undefined && { owner }) };
    const request = { method: 'POST', path: '/v1/leases', json, once } as const;
    const granted = (await ask(connectionOf(values), request)) as Granted;
    await tell(values, granted, `${granted.id}\n`);
    return EXIT.ok;
  },
};

const renew: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'renew',
  summary: 'give a lease its whole time again',
  description: 'Give a lease its whole time to live again. One that has ended: exit code 3.',
  args: [ID],
  options: CLIENT_OPTIONS,
  examples: [['kvorum lease renew 41', '']],
  run: async ({ args: [written = ''], values }) => {
    const renewed = await renewLease(connectionOf(values), idOf(written));
    await tell(values, renewed, `lease ${renewed.id} has ${showDuration(renewed.ttlMs)} again\n`);
    return EXIT.ok;
  },
};

const revoke: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'revoke',
  summary: 'end a lease, with what hangs on it',
  description:
    'End a lease, with the keys that hang on it and the locks that it holds. One that has ended: exit code 3.',
  args: [ID],
  options: CLIENT_OPTIONS,
  examples: [['kvorum lease revoke 41', '']],
  run: async ({ args: [written = ''], values }) => {
    const result = await revokeLease(connectionOf(values), idOf(written));
    await tell(values, result, `revoked; keys deleted: ${result.deleted}\n`);
    return EXIT.ok;
  },
};

const get: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'get',
  summary: 'show a lease',
  description: 'Show a lease: its time, its owner, the keys that hang on it, the locks that it holds or waits for.',
  args: [ID],
  options: CLIENT_OPTIONS,
  examples: [['kvorum lease get 41', '']],
  run: async ({ args: [written = ''], values }) => {
    const request = { method: 'GET', path: `/v1/leases/${idOf(written)}` } as const;
    const found = (await ask(connectionOf(values), request)) as JsonLease;
    const { id, ttlMs, remainingMs, owner, keys, locks } = found;
    const rows = [
      `lease ${id}: ${seconds(remainingMs)} of ${showDuration(ttlMs)} left, owner ${showOwner(owner)}`,
      ...keys.map((key) => `key ${printable(key)}`),
      ...locks.map((name) => `lock ${printable(name)}`),
    ];
    await tell(values, found, `${rows.join('\n')}\n`);
    return EXIT.ok;
  },
};

const list: CommandDeclaration<typeof CLIENT_OPTIONS> = {
  name: 'list',
  summary: 'show all leases',
  description: 'Show all leases, in the order of their ids.',
  args: [],
  options: CLIENT_OPTIONS,
  examples: [['kvorum lease list', '']],
  run: async ({ values }) => {
    const leases = await allPages<JsonLease>(connectionOf(values), '/v1/leases', 'leases');
    const shown = table(
      ['ID', 'TTL', 'LEFT', 'KEYS', 'LOCKS', 'OWNER'],
      leases.map(({ id, ttlMs, remainingMs, keys, locks, owner }) => [
        id,
        showDuration(ttlMs),
        seconds(remainingMs),
        String(keys.length),
        String(locks.length),
        showOwner(owner),
      ]),
    );
    await tell(values, { leases }, shown);
    return EXIT.ok;
  },
};

const KEEP_OPTIONS = {
  revoke: option({
    flags: '--revoke',
    description: 'end it at the end, instead of leaving it to its time',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

const keep: CommandDeclaration<typeof KEEP_OPTIONS> = {
  name: 'keep',
  summary: 'keep a lease alive until Ctrl-C',
  description:
    'Keep a lease alive: renew it at a third of its time, until Ctrl-C (exit code 0).\n' +
    'When it has ended all the same: exit code 3; when no node could be reached for as long as it lives: 5.',
  args: [ID],
  options: KEEP_OPTIONS,
  examples: [['kvorum lease keep 41', '']],
  endsAtOnce: true,
  run: async ({ args: [written = ''], values }) => {
    const id = idOf(written);
    const connection = connectionOf(values);
    const json = values.output === 'json';
    const ended = new AbortController();
    const signals = new Signals();
    signals.mean(() => ended.abort());
    let ttlMs: number | null = null;
    let renewedAt = performance.now();
    while (!ended.signal.aborted) {
      const sentAt = performance.now();
      let pauseMs: number;
      try {
        // What is under way when somebody asks for the end does not keep it waiting.
        const renewed = await untilEnded(renewLease(connection, id), ended.signal);
        if (renewed === null) break;
        if (json) await writeJson(renewed);
        else if (ttlMs === null) console.error(`kvorum: lease ${id} is kept alive; Ctrl-C ends that`);
        ({ ttlMs } = renewed);
        renewedAt = sentAt;
        pauseMs = ttlMs / 3 - (performance.now() - sentAt);
      } catch (error) {
        const mayBeThere = exitCodeOf(error) === EXIT.unavailable && ttlMs !== null;
        if (!mayBeThere || performance.now() - renewedAt > ttlMs!) throw error;
        pauseMs = Math.min(1000, ttlMs! / 10);
      }
      await delay(Math.max(0, pauseMs), undefined, { signal: ended.signal }).catch(() => undefined);
    }
    if (values.revoke) await revokeLease(connection, id);
    return EXIT.ok;
  },
};

export const lease: CommandGroup = {
  name: 'lease',
  summary: 'leases: what ends by itself unless it is renewed',
  description: 'A lease lives as long as somebody renews it, and what hangs on it (keys, locks) goes with it.',
  commands: [grant, renew, revoke, get, list, keep],
};

async function renewLease(connection: Connection, id: string): Promise<Granted> {
  const request = { method: 'POST', path: `/v1/leases/${id}/renew`, repeatable: true } as const;
  return (await ask(connection, request)) as Granted;
}

async function revokeLease(connection: Connection, id: string): Promise<{ readonly deleted: number }> {
  const request = { method: 'DELETE', path: `/v1/leases/${id}` } as const;
  return (await ask(connection, request)) as { readonly deleted: number };
}

function idOf(written: string): string {
  try {
    return leaseId(written, { base: '.' });
  } catch (error) {
    throw new UsageError(`ID: "${written}" ${(error as Error).message}`);
  }
}

/** Null when the end was asked for before. */
async function untilEnded<T>(pending: Promise<T>, ended: AbortSignal): Promise<T | null> {
  const asked = new Promise<null>((resolve) => {
    ended.addEventListener('abort', () => resolve(null), { once: true });
  });
  return await Promise.race([pending, asked]);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

async function ask(
  connection: Connection,
  request: Omit<Request, 'body' | 'headers'> & { readonly json?: unknown },
): Promise<unknown> {
  const { callJson } = await import('./client.ts');
  return await callJson(connection, request);
}

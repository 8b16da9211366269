/** `kvorum dht get | put | providers | lookup` */
import type { Answer, Connection, Request } from './client.ts';
import type { CommandDeclaration, CommandGroup } from './command.ts';
import { CLIENT_OPTIONS, connectionOf } from './connection.ts';
import { costOf, tableOfPeers, tableOfSteps, type Search } from './dht-output.ts';
import { EXIT, UsageError } from './exit.ts';
import { option, type Options, type Values } from './options.ts';
import { duration, filePath, flag, integer, nodeId } from './parse.ts';

const SEARCH_OPTIONS = {
  trace: option({
    flags: '--trace',
    description: 'tell of every request, on standard error',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  paths: option({
    flags: '--paths <n>',
    description: 'disjoint paths, 1 to 8: more cost more requests, and outwit more peers that lie (default: 1)',
    parse: integer(1, 8),
    fallback: undefined,
    callOnly: true,
  }),
  ...CLIENT_OPTIONS,
} satisfies Options;

type SearchValues = Values<typeof SEARCH_OPTIONS>;

interface JsonRecord {
  readonly value: string;
  readonly encoding: 'utf8' | 'base64';
  readonly notAfterMs: number;
  readonly node: string;
}

const KEY: readonly [string, string] = ['<KEY>', 'any text'];
const HINT =
  'What the DHT says is a hint, found without a leader and without a majority. It is another store than `kvorum get`.';

const get: CommandDeclaration<typeof SEARCH_OPTIONS> = {
  name: 'get',
  summary: 'the newest value under a key',
  description: `Show the newest value that was put under a key of the DHT, byte for byte. None: exit code 3.\n${HINT}`,
  args: [KEY],
  options: SEARCH_OPTIONS,
  examples: [
    ['kvorum dht get greeting', 'the value'],
    ['kvorum dht get greeting --trace', 'and how it was found'],
    ['kvorum dht get greeting --paths 4 -o json', 'past peers that lie; who signed it, until when it is kept'],
  ],
  run: async ({ args: [key = ''], values }) => {
    const found = (await search(values, { method: 'GET', path: `/v1/dht/values/${await encoded(key)}` })) as JsonRecord;
    const { write, writeJson } = await import('./output.ts');
    if (values.output === 'json') {
      await writeJson(found);
    } else {
      await write(Buffer.from(found.value, found.encoding));
      if (process.stdout.isTTY) await write('\n');
    }
    return EXIT.ok;
  },
};

const PUT_OPTIONS = {
  file: option({
    flags: '-f, --file <file>',
    description: 'take the value from a file, byte for byte',
    parse: filePath,
    fallback: undefined,
    callOnly: true,
  }),
  ttl: option({
    flags: '--ttl <duration>',
    description: 'how long it is kept, 1s to 48h: nobody puts it again (default: 24h)',
    parse: duration(1000, 48 * 3_600_000),
    fallback: undefined,
    callOnly: true,
  }),
  ...SEARCH_OPTIONS,
} satisfies Options;

const put: CommandDeclaration<typeof PUT_OPTIONS> = {
  name: 'put',
  summary: 'put a value under a key',
  description:
    'Put a value of up to 4,096 bytes into the DHT, in the place of the one that is there.\n' +
    'Without VALUE, or with -, the value is read from standard input, byte for byte.\n' +
    HINT,
  args: [KEY, ['[VALUE]', 'the value, or - for standard input']],
  options: PUT_OPTIONS,
  examples: [
    ['kvorum dht put greeting hello', ''],
    ['kvorum dht put build/latest --file build.json --ttl 1h', 'gone in an hour, unless it is put again'],
  ],
  run: async ({ args: [key = '', value], values }) => {
    if (value !== undefined && values.file !== undefined) throw new UsageError('give VALUE or --file, not both');
    const path = `/v1/dht/values/${await encoded(key)}`;
    const { readValue } = await import('./put.ts');
    const body = await readValue(value, values.file);
    const ttl = values.ttl === undefined ? undefined : `${values.ttl}ms`;
    const stored = (await search(values, { method: 'PUT', path, body, repeatable: true }, { ttl })) as Search & {
      readonly stored: number;
      readonly refused: Readonly<Record<string, number>>;
    };
    const { write, writeJson } = await import('./output.ts');
    if (values.output === 'json') {
      await writeJson(stored);
    } else {
      const refused = Object.entries(stored.refused).map(([reason, count]) => `, ${count} did not: ${reason}`);
      await write(`${stored.stored} ${stored.stored === 1 ? 'node keeps' : 'nodes keep'} it${refused.join('')}\n`);
    }
    return EXIT.ok;
  },
};

const providers: CommandDeclaration<typeof SEARCH_OPTIONS> = {
  name: 'providers',
  summary: 'who provides something',
  description: `Show who provides group/1 (nodes with a replica) or service/NAME (hosts of instances). None: exit code 3.\n${HINT}`,
  args: [['<NAME>', 'group/1, or service/ and the name of a service']],
  options: SEARCH_OPTIONS,
  examples: [
    ['kvorum dht providers group/1', 'nodes that have the data'],
    ['kvorum dht providers service/payments', ''],
  ],
  run: async ({ args: [name = ''], values }) => {
    const path = `/v1/dht/providers/${await encoded(name)}`;
    const found = (await search(values, { method: 'GET', path })) as Search & {
      readonly providers: readonly JsonRecord[];
    };
    const { printable, table, write, writeJson } = await import('./output.ts');
    if (values.output === 'json') {
      await writeJson(found);
    } else {
      const rows = found.providers.map(({ node, notAfterMs, value, encoding }) => [
        ...[node, new Date(notAfterMs).toISOString()],
        encoding === 'utf8' ? printable(value) : `(${Buffer.from(value, 'base64').length} bytes)`,
      ]);
      await write(`${table(['NODE', 'KEPT UNTIL', 'VALUE'], rows)}${costOf(found)}\n`);
    }
    return EXIT.ok;
  },
};

const LOOKUP_OPTIONS = {
  node: option({
    flags: '--node <id>',
    description: 'in the place of KEY: where the node of this id is (`kvorum member list` shows ids)',
    parse: nodeId,
    fallback: undefined,
    callOnly: true,
  }),
  ...SEARCH_OPTIONS,
} satisfies Options;

const lookup: CommandDeclaration<typeof LOOKUP_OPTIONS> = {
  name: 'lookup',
  summary: 'the nodes closest to a key, or where a node is',
  description:
    'Show the nodes closest to a key, which keep what is put under it, the closest first.\n' +
    'With --node: where the node of an id is, wherever it has moved to. Nobody knows: exit code 3.\n' +
    HINT,
  args: [['[KEY]', 'any text']],
  options: LOOKUP_OPTIONS,
  examples: [
    ['kvorum dht lookup greeting --trace', 'step by step'],
    ['kvorum dht lookup --node 8035023444031585763', ''],
  ],
  run: async ({ args: [key], values }) => {
    if ((key === undefined) === (values.node === undefined)) throw new UsageError('give a KEY, or --node');
    const path =
      values.node === undefined ? `/v1/dht/lookup/${await encoded(key ?? '')}` : `/v1/dht/nodes/${values.node}`;
    const found = (await search(values, { method: 'GET', path })) as Search & {
      readonly node?: {
        readonly id: string;
        readonly name: string;
        readonly role: string;
        readonly addresses: readonly string[];
        readonly http: string | null;
      };
    };
    const { printable, table, write, writeJson } = await import('./output.ts');
    if (values.output === 'json') {
      await writeJson(found);
    } else if (found.node === undefined) {
      await write(`${tableOfPeers(found.closest)}${costOf(found)}\n`);
    } else {
      const { id, name, role, addresses, http } = found.node;
      const row = [name, id, role, addresses.join(',') || '-', http ?? '-'].map(printable);
      await write(`${table(['NAME', 'ID', 'ROLE', 'ADDRESS', 'HTTP'], [row])}${costOf(found)}\n`);
    }
    return EXIT.ok;
  },
};

export const dht: CommandGroup = {
  name: 'dht',
  summary: 'where things are, as a hint: get, put, providers, lookup',
  description: 'The DHT of the cluster: who keeps what, and where nodes are, also those that have moved.',
  commands: [get, put, providers, lookup],
};

async function encoded(name: string): Promise<string> {
  const { encodeName } = await import('./keys.ts');
  return encodeName(name);
}

/** Also of a search that found nothing, its steps are told. */
async function search(
  values: SearchValues,
  request: Pick<Request, 'method' | 'path' | 'body' | 'repeatable'>,
  query: Request['query'] = {},
): Promise<unknown> {
  const connection: Connection = connectionOf(values);
  const { call, jsonOf } = await import('./client.ts');
  const traced = values.trace && values.output !== 'json';
  let answer: Answer;
  try {
    answer = await call(connection, {
      ...request,
      query: { ...query, paths: values.paths, trace: values.trace ? true : undefined },
    });
  } catch (error) {
    const { KvorumError } = await import('../src/errors.ts');
    if (traced && KvorumError.is(error, 'ERR_NOT_FOUND')) tell(error.details['search'] as Search | undefined);
    throw error;
  }
  const found = jsonOf(answer);
  if (traced) tell(found as Search);
  return found;
}

function tell(found: Search | undefined): void {
  if (found?.steps !== undefined) console.error(`${tableOfSteps(found.steps)}${costOf(found)}\n`);
}

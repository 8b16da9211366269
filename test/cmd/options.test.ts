/** Where the value of an option comes from, and what is said when it does not parse. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { environmentName, flagName, option, resolveOptions } from '../../cmd/options.ts';
import {
  addresses,
  bytes,
  duration,
  endpoints,
  filePath,
  flag,
  hostPort,
  integer,
  members,
  metadata,
  nodeName,
  oneOf,
  peerId,
  reachableAddress,
} from '../../cmd/parse.ts';
import { KvorumError } from '../../src/errors.ts';

const OPTIONS = {
  httpPort: option({ flags: '--http-port <port>', description: '', parse: integer(1, 65_535), fallback: 7101 }),
  dataDir: option({ flags: '--data-dir <dir>', description: '', parse: filePath, fallback: '.kvorum' }),
  prefix: option({
    flags: '--prefix <p>',
    description: '',
    parse: (text) => text,
    fallback: undefined,
    callOnly: true,
  }),
};

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-options-'));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function resolve(sources: {
  flags?: Record<string, string | true>;
  environment?: Record<string, string>;
  file?: unknown;
}): { httpPort: number; dataDir: string; prefix: string | undefined; given: string[] } {
  let configFile: string | undefined;
  if (sources.file !== undefined) {
    configFile = path.join(directory, 'kvorum.json');
    writeFileSync(configFile, typeof sources.file === 'string' ? sources.file : JSON.stringify(sources.file));
  }
  const { values, given } = resolveOptions(OPTIONS, {
    flags: sources.flags ?? {},
    environment: sources.environment ?? {},
    configFile,
    knownKeys: new Set(['httpPort', 'dataDir', 'logLevel']),
    workingDirectory: '/work-dir',
  });
  return { ...values, given: [...given] };
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (KvorumError.is(error, 'ERR_CONFIG')) return error.message;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('precedence', () => {
  test('flag, then environment, then file, then default', () => {
    const file = { httpPort: 4 };
    const environment = { KVORUM_HTTP_PORT: '3' };
    expect(resolve({ flags: { httpPort: '2' }, environment, file }).httpPort).toBe(2);
    expect(resolve({ environment, file }).httpPort).toBe(3);
    expect(resolve({ file }).httpPort).toBe(4);
    expect(resolve({}).httpPort).toBe(7101);
    expect(resolve({}).given).toEqual([]);
    expect(resolve({ file }).given).toEqual(['httpPort']);
  });

  test('an empty variable counts as unset', () => {
    expect(resolve({ environment: { KVORUM_HTTP_PORT: '' } }).httpPort).toBe(7101);
  });

  test('paths start where they are written: in the working directory, or beside the config file', () => {
    expect(resolve({ flags: { dataDir: 'data' } }).dataDir).toBe('/work-dir/data');
    expect(resolve({ file: { dataDir: 'data' } }).dataDir).toBe(path.join(directory, 'data'));
  });

  test('what belongs to one call has no variable: KVORUM_PREFIX must not delete anything', () => {
    expect(resolve({ environment: { KVORUM_PREFIX: 'x' } }).prefix).toBeUndefined();
  });

  test('names', () => {
    expect([environmentName('httpTokenFile'), flagName('httpTokenFile')]).toEqual([
      'KVORUM_HTTP_TOKEN_FILE',
      '--http-token-file',
    ]);
  });
});

describe('a value that does not parse is reported with where it stood', () => {
  test('flag, environment, file', () => {
    expect(messageOf(() => resolve({ flags: { httpPort: 'abc' } }))).toMatch(/^--http-port: "abc" is not /);
    expect(messageOf(() => resolve({ environment: { KVORUM_HTTP_PORT: '0' } }))).toMatch(
      /^KVORUM_HTTP_PORT: "0" is not/,
    );
    expect(messageOf(() => resolve({ file: { httpPort: 70_000 } }))).toMatch(
      /kvorum\.json: "httpPort": "70000" is not/,
    );
  });

  test('a config file with an unknown key, with nonsense in it, or that is not there', () => {
    expect(messageOf(() => resolve({ file: { htpPort: 1 } }))).toMatch(/unknown key "htpPort"; .*httpPort/);
    expect(messageOf(() => resolve({ file: { prefix: 'x' } }))).toMatch(/unknown key "prefix"/);
    expect(messageOf(() => resolve({ file: { httpPort: null } }))).toMatch(/"httpPort" is null/);
    expect(messageOf(() => resolve({ file: '[]' }))).toMatch(/is not a JSON object/);
    expect(messageOf(() => resolve({ file: '{' }))).toMatch(/config file .*JSON/);
    expect(() =>
      resolveOptions(OPTIONS, {
        flags: {},
        environment: {},
        configFile: path.join(directory, 'missing.json'),
        knownKeys: new Set(),
        workingDirectory: '/',
      }),
    ).toThrow(/ENOENT/);
  });

  test('a key of another command is let through: one file may serve all', () => {
    expect(resolve({ file: { logLevel: 'nonsense', httpPort: 9 } }).httpPort).toBe(9);
  });
});

describe('values', () => {
  const context = { base: '/base' };

  test.each([
    ['250ms', 250],
    ['2s', 2000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['40', 40],
  ])('duration %s', (text, expected) => {
    expect(duration(0, 3_600_000)(text, context)).toBe(expected);
  });

  test.each(['', 's', '-1s', '1 s', '1d', '2h', '1e3', 'NaN'])('no duration: %j', (text) => {
    expect(() => duration(0, 3_600_000)(text, context)).toThrow(/is not a duration/);
  });

  test.each([
    ['65536', 65_536],
    ['64KiB', 65_536],
    ['1 MiB', 1_048_576],
    ['2gib', 2_147_483_648],
  ])('size %s', (text, expected) => {
    expect(bytes(0, 1024 ** 4)(text, context)).toBe(expected);
  });

  test.each(['', '1KB', '-1', '1.5MiB', 'MiB'])('no size: %j', (text) => {
    expect(() => bytes(0, 1024 ** 4)(text, context)).toThrow(/is not a size/);
  });

  test.each([
    ['127.0.0.1:7101', { host: '127.0.0.1', port: 7101 }],
    ['[::1]:1', { host: '::1', port: 1 }],
    ['node-1.example:65535', { host: 'node-1.example', port: 65_535 }],
  ])('address %s', (text, expected) => {
    expect(hostPort({ minPort: 1 })(text, context)).toEqual(expected);
  });

  test.each(['', ':7101', '7101', 'a', 'a:', 'a:0', 'a:65536', '::1:7101', 'http://a:1', 'a:1/'])(
    'no address: %j',
    (text) => {
      expect(() => hostPort({ minPort: 1 })(text, context)).toThrow(/is not HOST:PORT/);
    },
  );

  test('members', () => {
    expect(members('n1=a:1,n2=[::1]:2', context)).toEqual({ n1: 'a:1', n2: '[::1]:2' });
    expect(() => members('n1', context)).toThrow(/is not a list/);
    expect(() => members('n1=a:1,n1=b:1', context)).toThrow(/is there twice/);
    expect(() => members('n1=a:1,n2=a:1', context)).toThrow(/address of another member/);
    expect(() => members('n 1=a:1', context)).toThrow(/not a node name/);
    expect(() => members('n1=a:1,', context)).toThrow(/is not a list/);
    expect(members('constructor=a:1', context)).toEqual({ constructor: 'a:1' });
    expect(metadata('zone=b, rack=7,empty=,eq=a=b', context)).toEqual({ zone: 'b', rack: '7', empty: '', eq: 'a=b' });
    expect(() => metadata('zone', context)).toThrow(/is not a list such as zone=b/);
    expect(() => metadata('=b', context)).toThrow(/is not a list/);
    expect(() => metadata('a=1,a=2', context)).toThrow(/names a twice/);
  });

  test('endpoints', () => {
    const shown = endpoints('http://a:1, b:2,https://c/base', context).map(String);
    expect(shown).toEqual(['http://a:1/', 'http://b:2/', 'https://c/base']);
    expect(() => endpoints('', context)).toThrow(/is not a list of URLs/);
    expect(() => endpoints('a:1,,', context)).toThrow(/is not a list of URLs/);
    expect(() => endpoints('http://a:1?x=1', context)).toThrow(/is not a list of URLs/);
  });

  test('addresses of others', () => {
    expect(reachableAddress('[fd00::7]:7201', context)).toBe('[fd00::7]:7201');
    for (const wildcard of ['0.0.0.0:1', '[::]:1', '[0:0:0:0:0:0:0:0]:1']) {
      expect(() => reachableAddress(wildcard, context)).toThrow(/is an address to listen on/);
    }
    expect(reachableAddress('[::1]:1', context)).toBe('[::1]:1');
    expect(addresses('a:1, b:2,a:1', context)).toEqual(['a:1', 'b:2']);
    expect(() => addresses('a:1,b', context)).toThrow(/is wrong at "b", which is not HOST:PORT/);
    expect(() => addresses(Array.from({ length: 65 }, (_, i) => `a:${i + 1}`).join(), context)).toThrow(/more than 64/);
  });

  test('peer ids', () => {
    const id = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp';
    expect(peerId(id, context)).toBe(id);
    for (const wrong of ['', 'n1', id.slice(0, 39), `${id.slice(0, -1)}0`, `${id} `]) {
      expect(() => peerId(wrong, context)).toThrow(/is not a libp2p peer id/);
    }
  });

  test('the rest', () => {
    expect(flag('true', context)).toBe(true);
    expect(() => flag('yes', context)).toThrow(/is not true or false/);
    expect(() => oneOf('a', 'b')('c', context)).toThrow(/is not one of a, b/);
    expect(() => nodeName('a/b', context)).toThrow(/is not a node name/);
    expect(() => integer(1, 9)('1e0', context)).toThrow(/is not a whole number from 1 to 9/);
  });
});

/** The command line as a whole: help, usage errors, exit codes, from any directory. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

import { buildProgram } from '../../cmd/program.ts';
import { kvorum } from './cli.ts';

const COMMANDS = [
  ...['local', 'start'],
  ...['put', 'get', 'del', 'ls', 'watch', 'txn', 'compact'],
  ...['lock', 'sem', 'elect', 'barrier', 'counter', 'lease', 'service'],
  ...['status', 'member', 'token', 'dht', 'completions'],
];
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  lease: ['grant', 'renew', 'revoke', 'get', 'list', 'keep'],
  service: ['register', 'list', 'watch', 'deregister'],
  member: ['list', 'add', 'promote', 'demote', 'replace', 'remove'],
  token: ['create'],
  dht: ['get', 'put', 'providers', 'lookup'],
};

describe('help', () => {
  test('without a command it shows what there is', async () => {
    const { code, stdout, stderr } = await kvorum([], { cwd: os.tmpdir() });
    expect([code, stderr]).toEqual([0, '']);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  test('every command explains itself with examples, and names the variable of every set-up option', () => {
    const program = buildProgram({
      environment: {},
      workingDirectory: '/',
      knownKeys: new Set(),
      rawArguments: () => [],
    });
    expect(program.commands.map((command) => command.name())).toEqual(COMMANDS);
    const groups = program.commands.filter((command) => command.commands.length > 0);
    const below = groups.map((group) => [group.name(), group.commands.map((command) => command.name())] as const);
    expect(Object.fromEntries(below)).toEqual(GROUPS);
    const single = program.commands.filter((command) => !groups.includes(command));
    for (const command of [...single, ...groups.flatMap((group) => group.commands)]) {
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      const within = command.parent === program ? '' : `${command.parent?.name()} `;
      expect(help).toContain(`kvorum ${within}${command.name()}`);
      expect(help).toContain('Examples:');
      if (command.name() !== 'completions') expect(help).toContain('KVORUM_CONFIG');
    }
  });

  test('kvorum help COMMAND', async () => {
    const { code, stdout } = await kvorum(['help', 'put']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: kvorum put /);
    const below = await kvorum(['lease', 'help', 'grant']);
    expect([below.code, below.stdout]).toEqual([0, expect.stringMatching(/^Usage: kvorum lease grant /)]);
  });

  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8')) as {
      version: string;
    };
    expect(await kvorum(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

describe('usage errors: exit code 2, one line that says what is wrong, one that says where help is', () => {
  test.each([
    [['strat'], /unknown command 'strat'\n\(Did you mean start\?\)/],
    [['get'], /missing required argument 'KEY'/],
    [['get', 'a', '--fo'], /unknown option '--fo'/],
    [['get', 'a', 'b'], /too many arguments/],
    [['get', 'a', '--timeout'], /option '--timeout <duration>' argument missing/],
    [['watch', 'a', '--prefix', 'b'], /give a KEY or --prefix/],
    [['txn', '/does/not/exist'], /ENOENT/],
    [['compact', '-1x'], /unknown option|not a whole number/],
    [['compact', '0'], /REVISION: "0" is not a whole number/],
    [['lock'], /NAME is missing/],
    [['lock', ''], /the name is empty/],
    [['lock', '..'], /the name cannot stand in a path/],
    [['lock', 'a', 'make'], /too many arguments \(make\): a command to run is written after --/],
    [['lock', '--', 'make'], /NAME is missing/],
    [['lock', 'a', '--inspect', '--break'], /give one of --inspect, --list, --break/],
    [['lock', 'a', '--inspect', '--', 'make'], /--inspect acquires nothing/],
    [['lock', 'a', '--break', '--wait', '5s'], /--break acquires nothing/],
    [['sem', 'a', '--', 'make'], /--permits is missing/],
    [['elect', 'a', '--observe', '--inspect'], /give --inspect or --observe/],
    [['elect', 'a', '--observe', '--', 'make'], /--observe only looks/],
    [['barrier', 'a'], /--parties is missing/],
    [['counter', 'a', '--add', '1', '--delete'], /give --add or --delete/],
    [['counter', 'a', '--once', 'k'], /--once belongs to/],
    [['lease', 'renew', 'x'], /ID: "x" is not the id of a lease/],
    [['lease', 'grand'], /unknown command 'grand'\n\(Did you mean grant\?\)/],
    [['member', 'ad'], /unknown command 'ad'\n\(Did you mean add\?\)/],
    [['start', '--join', 'a:1', '--initial-cluster', 'n1=a:1'], /--join and --initial-cluster exclude each other/],
    [['completions', 'powershell'], /SHELL: "powershell" is not one of bash, zsh, fish/],
    [['start', '--log-levle', 'info'], /unknown option '--log-levle'\n\(Did you mean --log-level\?\)/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await kvorum(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^kvorum: ERR_INVALID_ARGUMENT: /);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/Run `kvorum [a-z ]*--help` for (help|its options)\.\n$/);
  });

  test.each([
    [['get', 'a', '--timeout', 'soon'], {}, '--timeout: "soon" is not a duration'],
    [['get', 'a'], { KVORUM_TIMEOUT: 'soon' }, 'KVORUM_TIMEOUT: "soon" is not a duration'],
    [['get', 'a', '--endpoints', 'http://'], {}, '--endpoints: "http://" is not a list of URLs'],
    [['ls', '--limit', '1001'], {}, '--limit: "1001" is not a whole number from 1 to 1000'],
    [['put', 'a', 'b', '--if-revision', 'x'], {}, '--if-revision: "x" is not a whole number'],
    [['put', 'a', 'b', '--lease', 'x'], {}, '--lease: "x" is not the id of a lease'],
    [['put', 'a', 'b', '--once', 'ü'], {}, '--once: "ü" is not 1 to 255 printable ASCII'],
    [['watch', '--from', '0'], {}, '--from: "0" is not a whole number from 1'],
    [['watch', '--filter', 'puts'], {}, '--filter: "puts" is not one of put, delete'],
    [['lock', 'a', '--ttl', '10ms'], {}, '--ttl: "10ms" is not a duration from 1s to 24h'],
    [['lock', 'a', '--wait', 'soon'], {}, '--wait: "soon" is neither a duration'],
    [['lock', 'a', '--mode', 'exclusive'], {}, '--mode: "exclusive" is not one of read, write'],
    [['lock', 'a', '--owner', 'me'], {}, '--owner: "me" is not JSON'],
    [['lock', 'a', '--kill-after', '-1'], {}, '--kill-after: "-1" is not a duration'],
    [['sem', 'a', '--permits', '0'], {}, '--permits: "0" is not a whole number from 1'],
    [['counter', 'a', '--add', '1.5'], {}, '--add: "1.5" is not a whole number'],
    [['local', '--nodes', '0'], {}, '--nodes: "0" is not a whole number from 1 to 9'],
    [['local', '--nodes', 'abc'], {}, '--nodes: "abc" is not a whole number from 1 to 9'],
    [['local', '--http-port', '65535'], {}, '--http-port: 3 ports from 65535 go beyond 65535'],
    [['local', '--http-port', '7201'], {}, 'overlap'],
    [['start', '--http', '7101'], {}, '--http: "7101" is not HOST:PORT'],
    [['start', '--initial-cluster', 'n1'], {}, '--initial-cluster: "n1" is not a list'],
    [['start'], { KVORUM_ELECTION_TIMEOUT: '-1' }, 'KVORUM_ELECTION_TIMEOUT: "-1" is not a duration'],
    [['start', '--secret-file', '/does/not/exist'], {}, '--secret-file: ENOENT'],
    [['start'], { KVORUM_HTTP_TOKEN: 'open sesame' }, 'KVORUM_HTTP_TOKEN: a bearer token has only'],
    [['start', '--config', '/does/not/exist'], {}, 'config file /does/not/exist: ENOENT'],
  ])('%j %j names its option', async (args, env, message) => {
    const { code, stdout, stderr } = await kvorum(args, { env, cwd: os.tmpdir() });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^kvorum: ERR_CONFIG: /);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test('a cluster without a secret, a cluster without this node', async () => {
    const several = 'n1=127.0.0.1:1,n2=127.0.0.1:2';
    const noSecret = await kvorum(['start', '--initial-cluster', several]);
    expect([noSecret.code, noSecret.stderr]).toEqual([2, expect.stringContaining('--secret-file')]);
    const stranger = await kvorum(['start', '--initial-cluster', several, '--name', 'n3']);
    expect([stranger.code, stranger.stderr]).toEqual([2, expect.stringContaining('does not name this node, n3')]);
  });
});

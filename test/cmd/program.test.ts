/** The command line as a whole: help, usage errors, exit codes, from any directory. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

import { buildProgram } from '../../cmd/program.ts';
import { kvorum } from './cli.ts';

const COMMANDS = ['local', 'start', 'put', 'get', 'del', 'ls', 'status'];

describe('help', () => {
  test('without a command it shows what there is', async () => {
    const { code, stdout, stderr } = await kvorum([], { cwd: os.tmpdir() });
    expect([code, stderr]).toEqual([0, '']);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
  });

  test('every command explains itself with examples, and names the variable of every set-up option', () => {
    const program = buildProgram({ environment: {}, workingDirectory: '/', knownKeys: new Set() });
    expect(program.commands.map((command) => command.name())).toEqual(COMMANDS);
    for (const command of program.commands) {
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help).toContain(`kvorum ${command.name()}`);
      expect(help).toContain('Examples:');
      expect(help).toContain('KVORUM_CONFIG');
    }
  });

  test('kvorum help COMMAND', async () => {
    const { code, stdout } = await kvorum(['help', 'put']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: kvorum put /);
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
    [['start', '--log-levle', 'info'], /unknown option '--log-levle'\n\(Did you mean --log-level\?\)/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await kvorum(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^kvorum: ERR_INVALID_ARGUMENT: /);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/Run `kvorum [a-z ]*--help` for help\.\n$/);
  });

  test.each([
    [['get', 'a', '--timeout', 'soon'], {}, '--timeout: "soon" is not a duration'],
    [['get', 'a'], { KVORUM_TIMEOUT: 'soon' }, 'KVORUM_TIMEOUT: "soon" is not a duration'],
    [['get', 'a', '--endpoints', 'http://'], {}, '--endpoints: "http://" is not a list of URLs'],
    [['ls', '--limit', '1001'], {}, '--limit: "1001" is not a whole number from 1 to 1000'],
    [['put', 'a', 'b', '--if-revision', 'x'], {}, '--if-revision: "x" is not a whole number'],
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

/** What shells complete: as they do it, where they are installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { COMMANDS } from '../../cmd/commands.ts';
import { report } from '../integration/report.ts';
import { kvorum } from './cli.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

let directory = '';
const scripts = new Map<string, string>();
beforeAll(async () => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'kvorum-completions-'));
  for (const shell of SHELLS) {
    const { code, stdout, stderr } = await kvorum(['completions', shell]);
    if (code !== 0 || stderr !== '') throw new Error(`kvorum completions ${shell}: ${code}, ${stderr}`);
    scripts.set(shell, stdout);
    writeFileSync(path.join(directory, shell), stdout);
  }
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function isInstalled(shell: string): boolean {
  const there = spawnSync(shell, ['-c', 'true']).status === 0;
  if (!there) report(`completions of ${shell}: skipped: ${shell} is not installed`);
  return there;
}

/** Words of a line end with this, lines of an answer with the other. */
const WORD = '\u001f';
const END = '\u001e';

/** What bash offers for the last word of each command line, split as bash splits it; by one bash, as starting one takes longer than all it is asked. */
function completeAll(lines: readonly (readonly string[])[]): string[][] {
  const program = `source "$1"
    while IFS= read -r line; do
      IFS=${WORD} read -ra COMP_WORDS <<< "$line"; COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 )); COMPREPLY=(); _kvorum
      (( \${#COMPREPLY[@]} )) && printf '%s\\n' "\${COMPREPLY[@]}"; printf '${END}'
    done; exit 0`;
  const input = lines.map((words) => `${['kvorum', ...words].map((word) => `${word}${WORD}`).join('')}\n`);
  const printed = execFileSync('bash', ['-c', program, 'bash', path.join(directory, 'bash')], {
    cwd: directory,
    encoding: 'utf8',
    input: input.join(''),
  });
  return printed
    .split(END)
    .slice(0, -1)
    .map((answer) => answer.split('\n').filter((line) => line !== ''));
}

const all = COMMANDS.flatMap(({ commands }) =>
  commands.flatMap((each) =>
    'commands' in each
      ? each.commands.map((below) => ({ words: [each.name, below.name], command: below }))
      : [{ words: [each.name], command: each }],
  ),
);

describe.runIf(isInstalled('bash'))('bash', () => {
  test('registers itself, and runs under strict settings', () => {
    const program = `set -eu; source ${path.join(directory, 'bash')}; complete -p kvorum`;
    expect(execFileSync('bash', ['-c', program], { encoding: 'utf8' })).toBe('complete -F _kvorum kvorum\n');
  });

  test('commands', () => {
    expect(completeAll([[''], ['lo'], ['lease', ''], ['help', 'wat'], ['nonsense', '']])).toEqual([
      [...new Set(all.map(({ words: [first] }) => first)), 'help', '--help', '--version'],
      ['local', 'lock'],
      ['grant', 'renew', 'revoke', 'get', 'list', 'keep'],
      ['watch'],
      [],
    ]);
  });

  test('every option of every command', () => {
    const offered = completeAll(all.map(({ words }) => [...words, '-']));
    expect(offered).toHaveLength(all.length);
    for (const [at, { command }] of all.entries()) {
      const flags = Object.values(command.options as Record<string, { flags: string }>).flatMap((option) =>
        option.flags.replace(/ <.*/, '').split(', '),
      );
      expect(offered[at]?.toSorted()).toEqual([...flags, '-h', '--help'].toSorted());
    }
  });

  test('what an option takes', () => {
    const cases: [string, string[]][] = [
      ['get a --output ', ['text', 'json']],
      ['get a -o j', ['json']],
      ['get a --output = j', ['json']],
      ['get a --output =', ['text', 'json']],
      ['watch --filter ', ['put', 'delete']],
      ['lease grant --output ', ['text', 'json']],
      ['put a --file fi', ['fish']],
      ['lock a --wait ', []],
      ['completions ', [...SHELLS]],
    ];
    const offered = completeAll(cases.map(([line]) => line.split(' ')));
    expect(cases.map(([line], at) => [line, offered[at]])).toEqual(cases);
  });

  test('after -- a command with its files, where there is one to run', () => {
    const [commands, ...others] = completeAll([
      ['lock', 'a', '--', 'mkdi'],
      ['lock', 'a', '--wait', '5s', '--', 'cat', 'zs'],
      ['lock', 'a', '--', 'make', '--'],
      ['put', '--', '-'],
    ]);
    expect(commands).toContain('mkdir');
    expect(others).toEqual([['zsh'], [], []]);
  });
});

describe.runIf(isInstalled('zsh'))('zsh', () => {
  test('is a script that zsh can read', () => {
    execFileSync('zsh', ['-n', path.join(directory, 'zsh')]);
  });
});

describe.runIf(isInstalled('fish'))('fish', () => {
  test('is a script that fish can read, and completes', () => {
    execFileSync('fish', ['--no-execute', path.join(directory, 'fish')]);
    const program = `source ${path.join(directory, 'fish')}; complete -C 'kvorum lo'`;
    const offered = execFileSync('fish', ['-c', program], { encoding: 'utf8' });
    expect(offered.split('\n').map((line) => line.split('\t')[0])).toEqual(['local', 'lock', '']);
  });
});

test('zsh and fish are told of every command and option, too', () => {
  for (const { words, command } of all) {
    expect(scripts.get('zsh')).toContain(`('${words.join(' ')}') _arguments`);
    for (const { flags } of Object.values(command.options as Record<string, { flags: string }>)) {
      const [long = ''] = /--[a-z-]+/.exec(flags) ?? [];
      expect(scripts.get('zsh')).toContain(`${long}[`);
      expect(scripts.get('fish')).toContain(`'__kvorum_in ${words.join(' ')}' -l ${long.slice(2)}`);
    }
  }
});

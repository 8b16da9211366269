/** Scripts by which shells complete the command line, made from the declarations: what a command has, they know. */
import type { AnyCommand, CommandGroup, CommandSection } from './command.ts';
import type { Option } from './options.ts';

type Takes = 'nothing' | 'text' | 'file' | readonly string[];

interface CompletedOption {
  /** `--output`, `-o`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takes: Takes;
}

interface CompletedCommand {
  /** `lease grant`. */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What its first argument may be; null: anything. */
  readonly choices: readonly string[] | null;
  /** At least one argument has a name. */
  readonly hasArgument: boolean;
  readonly takesCommand: boolean;
}

interface Described {
  readonly name: string;
  readonly summary: string;
}

interface Model {
  /** First words. */
  readonly words: readonly Described[];
  /** First words that want a second one. */
  readonly groups: readonly { readonly name: string; readonly words: readonly Described[] }[];
  readonly commands: readonly CompletedCommand[];
}

const HELP: CompletedOption = { names: ['--help', '-h'], description: 'show help', takes: 'nothing' };

export function completionScript(shell: 'bash' | 'zsh' | 'fish', sections: readonly CommandSection[]): string {
  return { bash, zsh, fish }[shell](modelOf(sections));
}

function modelOf(sections: readonly CommandSection[]): Model {
  const all = sections.flatMap(({ commands }) => commands);
  const words: Described[] = all.map(({ name, summary }) => ({ name, summary }));
  const groups = all.filter((each): each is CommandGroup => 'commands' in each);
  const singles = all.filter((each): each is AnyCommand => !('commands' in each));
  return {
    words: [...words, { name: 'help', summary: 'show help of a command' }],
    groups: [
      ...groups.map(({ name, commands }) => ({ name, words: commands as readonly Described[] })),
      { name: 'help', words },
    ],
    commands: [
      ...singles.map((command) => completed(command, '')),
      ...groups.flatMap(({ name, commands }) => commands.map((command) => completed(command, `${name} `))),
    ],
  };
}

function completed(command: AnyCommand, within: string): CompletedCommand {
  const options = Object.values(command.options as Readonly<Record<string, Option<unknown>>>);
  const [first] = command.args;
  return {
    name: within + command.name,
    summary: command.summary,
    options: [...options.map(completedOption), HELP],
    choices: first?.[2] ?? null,
    hasArgument: first !== undefined,
    takesCommand: command.takesCommand === true,
  };
}

function completedOption({ flags, description, parse }: Option<unknown>): CompletedOption {
  const names = flags.replace(/ <.*/, '').split(', ').toReversed();
  const takes = !flags.includes('<') ? 'nothing' : parse.files === true ? 'file' : (parse.choices ?? 'text');
  return { names, description, takes };
}

// --- bash ----------------------------------------------------------------------------------------------------------

function bash({ words, groups, commands }: Model): string {
  const names = (list: readonly Described[]): string => list.map(({ name }) => name).join(' ');
  const groupCases = groups.map(
    ({ name, words: below }) => `    ${name})
      if (( COMP_CWORD == 2 )); then COMPREPLY=( $(compgen -W "${names(below)}" -- "$cur") ); return; fi
      command="${name} \${COMP_WORDS[2]}" ;;`,
  );
  const valueCases = commands.flatMap(({ name, options }) =>
    options
      .filter(({ takes }) => takes !== 'nothing')
      .map(({ names: flags, takes }) => {
        const patterns = flags.map((flag) => `"${name} ${flag}"`).join('|');
        const action =
          takes === 'text' || takes === 'nothing'
            ? 'return'
            : takes === 'file'
              ? 'compopt -o filenames 2>/dev/null; COMPREPLY=( $(compgen -f -- "$cur") ); return'
              : `COMPREPLY=( $(compgen -W "${takes.join(' ')}" -- "$cur") ); return`;
        return `    ${patterns}) ${action} ;;`;
      }),
  );
  const optionCases = commands.map(
    ({ name, options }) => `      "${name}") words="${options.flatMap(({ names: flags }) => flags).join(' ')}" ;;`,
  );
  const choiceCases = commands
    .filter(({ choices }) => choices !== null)
    .map(({ name, choices }) => `      "${name}") words="${choices?.join(' ')}" ;;`);
  const takers = commands.filter(({ takesCommand }) => takesCommand).map(({ name }) => `"${name}"`);
  return `# Completes kvorum in bash. Printed by: kvorum completions bash
_kvorum() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words="" i
  COMPREPLY=()
  # --option=value is three words here.
  if [[ $cur == "=" ]]; then
    cur=""
  elif [[ $prev == "=" ]]; then
    prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=( $(compgen -W "${names(words)} --help --version" -- "$cur") )
    return
  fi
  case $command in
${groupCases.join('\n')}
  esac
  for (( i = 2; i < COMP_CWORD; i++ )); do
    [[ \${COMP_WORDS[i]} == "--" ]] || continue
    case $command in
      ${takers.join('|')})
        compopt -o filenames 2>/dev/null
        if (( i == COMP_CWORD - 1 )); then
          COMPREPLY=( $(compgen -c -- "$cur") )
        else
          COMPREPLY=( $(compgen -f -- "$cur") )
        fi ;;
    esac
    return
  done
  case "$command $prev" in
${valueCases.join('\n')}
  esac
  if [[ $cur == -* ]]; then
    case $command in
${optionCases.join('\n')}
    esac
  else
    case $command in
${choiceCases.join('\n')}
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$cur") )
}
complete -F _kvorum kvorum
`;
}

// --- zsh -----------------------------------------------------------------------------------------------------------

function zsh({ words, groups, commands }: Model): string {
  const described = (list: readonly Described[]): string =>
    list.map(({ name, summary }) => quoted(`${name}:${summary.replaceAll(':', '\\:')}`)).join(' ');
  const groupCases = groups.map(
    ({ name, words: below }) => `    (${name})
      if (( CURRENT == 3 )); then
        list=(${described(below)})
        _describe command list
        return
      fi
      command="${name} $words[3]"
      shift words
      (( CURRENT-- )) ;;`,
  );
  const commandCases = commands.map(({ name, options, choices, hasArgument, takesCommand }) => {
    const specs = options.map(zshOption);
    if (choices !== null) specs.push(quoted(`1:argument:(${choices.join(' ')})`));
    else if (takesCommand) specs.push(quoted('1:name: '), quoted('*::command:_normal'));
    else if (hasArgument) specs.push(quoted('*:argument: '));
    return `    (${quoted(name)}) _arguments -S ${specs.join(' ')} ;;`;
  });
  return `#compdef kvorum
# Completes kvorum in zsh. Printed by: kvorum completions zsh
_kvorum() {
  local -a list
  if (( CURRENT == 2 )); then
    list=(${described(words)})
    _describe command list
    return
  fi
  local command=$words[2]
  case $command in
${groupCases.join('\n')}
  esac
  shift words
  (( CURRENT-- ))
  case $command in
${commandCases.join('\n')}
  esac
}
if [[ $funcstack[1] == _kvorum ]]; then
  _kvorum "$@"
else
  compdef _kvorum kvorum
fi
`;
}

function zshOption({ names, description, takes }: CompletedOption): string {
  const value =
    takes === 'nothing'
      ? ''
      : takes === 'text'
        ? ':value: '
        : takes === 'file'
          ? ':file:_files'
          : `:value:(${takes.join(' ')})`;
  const text = `[${description.replaceAll(/[[\]:\\]/g, '\\$&')}]${value}`;
  const others = names.length > 1 ? `(${names.join(' ')})` : '';
  return names.map((name) => quoted(`${others}${name}${text}`)).join(' ');
}

// --- fish ----------------------------------------------------------------------------------------------------------

function fish({ words, groups, commands }: Model): string {
  const word = (condition: string, { name, summary }: Described): string =>
    `complete -c kvorum -n ${fishQuoted(condition)} -a ${name} -d ${fishQuoted(summary)}`;
  const lines = [
    ...words.map((each) => word('__kvorum_at', each)),
    ...groups.flatMap(({ name, words: below }) => below.map((each) => word(`__kvorum_at ${name}`, each))),
    ...commands.flatMap(({ name, options, choices }) => [
      ...options.map((each) => fishOption(name, each)),
      ...(choices === null
        ? []
        : [`complete -c kvorum -n ${fishQuoted(`__kvorum_at ${name}`)} -a ${fishQuoted(choices.join(' '))}`]),
    ]),
    ...commands
      .filter(({ takesCommand }) => takesCommand)
      .map(({ name }) => `complete -c kvorum -n ${fishQuoted(`__kvorum_runs ${name}`)} -F`),
  ];
  return `# Completes kvorum in fish. Printed by: kvorum completions fish
# The words so far are these, and no more.
function __kvorum_at
  set -l words (commandline -opc)
  set -e words[1]
  test "$words" = "$argv"
end
# The command is this one, and -- was not written yet.
function __kvorum_in
  set -l words (commandline -opc)
  set -e words[1]
  set -l n (count $argv)
  test (count $words) -ge $n; or return 1
  test "$words[1..$n]" = "$argv"; or return 1
  not contains -- -- $words
end
# The command is this one, and -- was written.
function __kvorum_runs
  set -l words (commandline -opc)
  contains -- -- $words; and test "$words[2]" = "$argv"
end
complete -c kvorum -f
${lines.join('\n')}
`;
}

function fishOption(command: string, { names, description, takes }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ');
  const value =
    takes === 'nothing'
      ? ''
      : takes === 'text'
        ? ' -x'
        : takes === 'file'
          ? ' -r -F'
          : ` -x -a ${fishQuoted(takes.join(' '))}`;
  const fitting = fishQuoted(`__kvorum_in ${command}`);
  return `complete -c kvorum -n ${fitting} ${flags}${value} -d ${fishQuoted(description)}`;
}

/** One word of bash or zsh: nothing has a meaning between single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** One word of fish, where a backslash escapes itself and the quote. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

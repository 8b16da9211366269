/** A command of the CLI, declared as data: what commander needs, the help, and the function that runs. */
import { Command, Option as CommanderOption } from 'commander';

import { reportError, exitCodeOf, UsageError, type ExitCode } from './exit.ts';
import { environmentName, option, resolveOptions, type Options, type Resolved, type Values } from './options.ts';
import { text } from './parse.ts';

export interface Invocation<O extends Options> {
  readonly args: readonly string[];
  readonly values: Values<O>;
  /** Keys of the options that were given by flag, environment or file. */
  readonly given: ReadonlySet<string>;
  /** The words after `--`, of a command that takes a command. */
  readonly command: readonly string[];
}

export interface CommandDeclaration<O extends Options> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Name as commander wants it (`<KEY>`, `[VALUE]`), description, and all that it may be when that is known. */
  readonly args: readonly (readonly [string, string, (readonly string[])?])[];
  readonly options: O;
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [string, string])[];
  /** More help below the examples. */
  readonly notes?: string;
  /** Its standard error is the log of a node: errors are text there, with what to do, whatever form the output has. */
  readonly isNode?: true;
  /** What follows `--` is a command line to run. */
  readonly takesCommand?: true;
  /** Ends when it has run, whatever connection is still open then. */
  readonly endsAtOnce?: true;
  readonly run: (invocation: Invocation<O>) => Promise<ExitCode>;
}

/** Commands under one name: `kvorum lease grant`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly commands: readonly AnyCommand[];
}

/** A part of the help. */
export interface CommandSection {
  readonly heading: string;
  readonly commands: readonly (AnyCommand | CommandGroup)[];
}

// `any` for the same reason as in Options.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyCommand = CommandDeclaration<any>;

export const CONFIG_OPTION = {
  config: option({
    flags: '--config <file>',
    description: 'JSON file with options, keys in camel case',
    parse: text,
    fallback: undefined,
  }),
} satisfies Options;

/** What the commands need from the process around them. */
export interface Context {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  /** Filled by every command that is built; read when one runs. */
  readonly knownKeys: Set<string>;
  /** The whole command line: commander does not tell where `--` stood. */
  readonly rawArguments: () => readonly string[];
}

export function buildGroup(group: CommandGroup, context: Context): Command {
  const command = new Command(group.name).summary(group.summary).description(group.description);
  for (const declaration of group.commands) command.addCommand(buildCommand(declaration, context, `${group.name} `));
  return command;
}

/** Makes the commander command; its action resolves the options, runs, and sets the exit code. `within`: names before its own. */
export function buildCommand<O extends Options>(
  declaration: CommandDeclaration<O>,
  context: Context,
  within = '',
): Command {
  const fullName = within + declaration.name;
  const command = new Command(declaration.name);
  command.summary(declaration.summary).description(declaration.description);
  for (const [name, description] of declaration.args) command.argument(name, description);
  if (declaration.takesCommand === true) {
    const args = declaration.args.map(([name]) => name).join(' ');
    command.usage(`[options] ${args} [-- COMMAND ARGS...]`).argument('[COMMAND...]', 'after --: what to run');
  }
  for (const [key, declared] of Object.entries(declaration.options)) {
    if (!declared.callOnly && key !== 'config') context.knownKeys.add(key);
    const remarks = [
      declared.shown === undefined ? null : `default: ${declared.shown}`,
      declared.callOnly ? null : `env: ${environmentName(key)}`,
    ].filter((remark) => remark !== null);
    const remark = remarks.length === 0 ? '' : ` (${remarks.join(', ')})`;
    const made = new CommanderOption(declared.flags, declared.description + remark);
    if (declared.group !== undefined) made.helpGroup(declared.group);
    command.addOption(made);
  }
  const width = Math.max(...declaration.examples.map(([line]) => line.length).filter((length) => length < 60));
  const examples = declaration.examples.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`.trimEnd());
  command.addHelpText('after', `\nExamples:\n${examples.join('\n')}`);
  if (declaration.notes !== undefined) command.addHelpText('after', `\n${declaration.notes}`);

  command.action(async (...parameters: unknown[]) => {
    const flags = command.opts<Record<string, string | true | undefined>>();
    let resolved: Resolved<O> | null = null;
    try {
      const { args, words } =
        declaration.takesCommand === true
          ? splitCommand(command.args, context.rawArguments(), declaration.args.length)
          : { args: parameters.slice(0, declaration.args.length) as (string | undefined)[], words: [] };
      resolved = resolveOptions(declaration.options, {
        flags,
        environment: context.environment,
        configFile: flags['config']?.toString() ?? (context.environment['KVORUM_CONFIG'] || undefined),
        knownKeys: context.knownKeys,
        workingDirectory: context.workingDirectory,
      });
      process.exitCode = await declaration.run({
        args: args.filter((arg) => arg !== undefined),
        values: resolved.values,
        given: resolved.given,
        command: words,
      });
    } catch (error) {
      const output = resolved === null ? flags['output'] : (resolved.values as Record<string, unknown>)['output'];
      const level = resolved === null ? undefined : (resolved.values as Record<string, unknown>)['logLevel'];
      const isNode = declaration.isNode === true;
      reportError(error, { json: output === 'json' && !isNode, stack: level === 'debug', advice: isNode });
      if (error instanceof UsageError && (output !== 'json' || isNode)) {
        console.error(`Run \`kvorum ${fullName} --help\` for its options.`);
      }
      process.exitCode = exitCodeOf(error);
    }
    // Whatever handle is left, such as an open standard input, must not keep a node from ending that has stopped or never was,
    // nor a client that has given up on a cluster.
    if (declaration.isNode === true || declaration.endsAtOnce === true) process.exit();
  });
  return command;
}

/**
 * What stands before `--`, and the command line after it. When the arguments themselves begin with a dash, they come after a `--` of their own:
 * `kvorum lock -- -x -- make`.
 */
function splitCommand(
  operands: readonly string[],
  raw: readonly string[],
  most: number,
): { readonly args: readonly string[]; readonly words: readonly string[] } {
  const after = raw.includes('--') ? raw.length - raw.indexOf('--') - 1 : 0;
  let args = operands.slice(0, operands.length - after);
  let words = operands.slice(operands.length - after);
  if (args.length === 0 && words.includes('--')) {
    args = words.slice(0, words.indexOf('--'));
    words = words.slice(args.length + 1);
  }
  if (args.length > most) {
    throw new UsageError(`too many arguments (${args.slice(most).join(' ')}): a command to run is written after --`);
  }
  return { args, words };
}

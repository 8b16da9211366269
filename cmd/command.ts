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
}

export interface CommandDeclaration<O extends Options> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Name as commander wants it (`<KEY>`, `[VALUE]`), and description. */
  readonly args: readonly (readonly [string, string])[];
  readonly options: O;
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [string, string])[];
  /** More help below the examples. */
  readonly notes?: string;
  /** Its standard error is the log of a node: errors are text there, with what to do, whatever form the output has. */
  readonly isNode?: true;
  readonly run: (invocation: Invocation<O>) => Promise<ExitCode>;
}

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
}

/** Makes the commander command; its action resolves the options, runs, and sets the exit code. */
export function buildCommand<O extends Options>(declaration: CommandDeclaration<O>, context: Context): Command {
  const command = new Command(declaration.name);
  command.summary(declaration.summary).description(declaration.description);
  for (const [name, description] of declaration.args) command.argument(name, description);
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
    const args = parameters.slice(0, declaration.args.length).map((arg) => arg as string | undefined);
    const flags = command.opts<Record<string, string | true | undefined>>();
    let resolved: Resolved<O> | null = null;
    try {
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
      });
    } catch (error) {
      const output = resolved === null ? flags['output'] : (resolved.values as Record<string, unknown>)['output'];
      const level = resolved === null ? undefined : (resolved.values as Record<string, unknown>)['logLevel'];
      const isNode = declaration.isNode === true;
      reportError(error, { json: output === 'json' && !isNode, stack: level === 'debug', advice: isNode });
      if (error instanceof UsageError && (output !== 'json' || isNode)) {
        console.error(`Run \`kvorum ${declaration.name} --help\` for its options.`);
      }
      process.exitCode = exitCodeOf(error);
    }
    // Whatever handle is left, such as an open standard input, must not keep a node from ending that has stopped or never was.
    if (declaration.isNode === true) process.exit();
  });
  return command;
}

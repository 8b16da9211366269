/** All commands under one roof: `kvorum <command>`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Command, CommanderError } from 'commander';

import { buildCommand, buildGroup, type Context } from './command.ts';
import { COMMANDS } from './commands.ts';
import { EXIT } from './exit.ts';

const HELP_AFTER = `
Quick start:
  kvorum local              three nodes on this machine; Ctrl-C stops them
  kvorum put hello world    in another terminal
  kvorum get hello

\`kvorum help COMMAND\` explains a command, with examples.
Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 condition failed, held or in conflict, 5 unavailable or
outcome unknown, 70 lost what was held.`;

export function buildProgram(context: Context): Command {
  const program = new Command('kvorum');
  program
    .description('A replicated key-value store that keeps what it acknowledged: Raft, peer to peer, on your own nodes.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .addHelpText('after', HELP_AFTER)
    .configureHelp({ sortSubcommands: false });
  for (const { heading, commands } of COMMANDS) {
    program.commandsGroup(heading);
    for (const each of commands) {
      program.addCommand('commands' in each ? buildGroup(each, context) : buildCommand(each, context));
    }
  }
  configure(program, 'kvorum');
  return program;
}

/** Errors in one style, and no exit that nobody sees coming, for a command and all below it. */
function configure(command: Command, fullName: string): void {
  command
    .exitOverride()
    .showSuggestionAfterError(true)
    .helpOption('-h, --help', 'show help')
    .configureOutput({
      outputError: (message, write) => write(message.replace(/^error: /, 'kvorum: ERR_INVALID_ARGUMENT: ')),
    })
    .showHelpAfterError(`Run \`${fullName} --help\` for help.`);
  for (const below of command.commands) configure(below, `${fullName} ${below.name()}`);
}

/** Runs one command line and leaves the exit code in `process.exitCode`, so that pipes are flushed before the end. */
export async function main(args: readonly string[]): Promise<void> {
  // A reader that has had enough (`kvorum ls --all | head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.ok);
  });
  const context: Context = {
    environment: process.env,
    workingDirectory: process.cwd(),
    knownKeys: new Set(),
    rawArguments: () => args,
  };
  const program = buildProgram(context);
  if (args.length === 0) {
    program.outputHelp();
    return;
  }
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}

/** From the package.json beside this file: one floor up in a checkout, two in the built package. */
function packageVersion(): string {
  for (const up of ['..', '../..']) {
    try {
      const content: unknown = JSON.parse(readFileSync(path.join(import.meta.dirname, up, 'package.json'), 'utf8'));
      const { name, version } = content as { name?: unknown; version?: unknown };
      if (name === 'kvorum' && typeof version === 'string') return version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

/** All commands under one roof: `kvorum <command>`. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { Command, CommanderError } from 'commander';

import { buildCommand, type Context } from './command.ts';
import { del } from './del.ts';
import { EXIT } from './exit.ts';
import { get } from './get.ts';
import { local } from './local.ts';
import { ls } from './ls.ts';
import { put } from './put.ts';
import { start } from './start.ts';
import { status } from './status.ts';

const HELP_AFTER = `
Quick start:
  kvorum local              three nodes on this machine; Ctrl-C stops them
  kvorum put hello world    in another terminal
  kvorum get hello

\`kvorum help COMMAND\` explains a command, with examples.
Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 condition failed, 5 unavailable or outcome unknown.`;

export function buildProgram(context: Context): Command {
  const program = new Command('kvorum');
  program
    .description('A replicated key-value store that keeps what it acknowledged: Raft, peer to peer, on your own nodes.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    .addHelpText('after', HELP_AFTER)
    .configureHelp({ sortSubcommands: false });
  program.commandsGroup('Nodes:');
  program.addCommand(buildCommand(local, context));
  program.addCommand(buildCommand(start, context));
  program.commandsGroup('Data:');
  program.addCommand(buildCommand(put, context));
  program.addCommand(buildCommand(get, context));
  program.addCommand(buildCommand(del, context));
  program.addCommand(buildCommand(ls, context));
  program.commandsGroup('Cluster:');
  program.addCommand(buildCommand(status, context));
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .showSuggestionAfterError(true)
      .helpOption('-h, --help', 'show help')
      .configureOutput({
        outputError: (message, write) => write(message.replace(/^error: /, 'kvorum: ERR_INVALID_ARGUMENT: ')),
      })
      .showHelpAfterError(`Run \`${command === program ? 'kvorum' : `kvorum ${command.name()}`} --help\` for help.`);
  }
  return program;
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

/** `kvorum completions SHELL` */
import type { CommandDeclaration, CommandSection } from './command.ts';
import { EXIT, UsageError } from './exit.ts';
import type { Options } from './options.ts';
import { write } from './output.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

const OPTIONS = {} satisfies Options;

/** `sections`: asked for when it runs, because this command is itself in one of them. */
export const completions = (sections: () => readonly CommandSection[]): CommandDeclaration<typeof OPTIONS> => ({
  name: 'completions',
  summary: 'print what makes a shell complete commands and options',
  description: 'Print a script for bash, zsh or fish that completes commands, options and what they take.',
  args: [['<SHELL>', 'bash, zsh or fish', SHELLS]],
  options: OPTIONS,
  examples: [
    ['source <(kvorum completions bash)', 'in ~/.bashrc'],
    ['source <(kvorum completions zsh)', 'in ~/.zshrc, after compinit'],
    ['kvorum completions fish > ~/.config/fish/completions/kvorum.fish', ''],
  ],
  run: async ({ args: [shell] }) => {
    const { completionScript } = await import('./completion-scripts.ts');
    const known = SHELLS.find((each) => each === shell);
    if (known === undefined) throw new UsageError(`SHELL: "${shell}" is not one of ${SHELLS.join(', ')}`);
    await write(completionScript(known, sections()));
    return EXIT.ok;
  },
});

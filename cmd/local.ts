/** `kvorum local`: a cluster of real processes on this machine. */
import { CONFIG_OPTION, type CommandDeclaration } from './command.ts';
import { option, type Options } from './options.ts';
import { filePath, integer, oneOf, port } from './parse.ts';

export const DEFAULT_HTTP_PORT = 7101;
export const DEFAULT_PEER_PORT = 7201;

const OPTIONS = {
  nodes: option({
    flags: '--nodes <n>',
    description: 'how many; an odd number, because an even one survives no more failures than the odd one below it',
    parse: integer(1, 9),
    fallback: 3,
    shown: '3, or what the data directory holds',
  }),
  dataDir: option({
    flags: '--data-dir <dir>',
    description: 'where the nodes keep their data, their logs and the cluster secret',
    parse: filePath,
    fallback: undefined,
    shown: '.kvorum',
  }),
  httpPort: option({
    flags: '--http-port <port>',
    description: 'HTTP port of the first node; the others follow',
    parse: port,
    fallback: DEFAULT_HTTP_PORT,
    shown: '7101',
  }),
  peerPort: option({
    flags: '--peer-port <port>',
    description: 'peer port of the first node; the others follow',
    parse: port,
    fallback: DEFAULT_PEER_PORT,
    shown: '7201',
  }),
  logLevel: option({
    flags: '--log-level <level>',
    description: 'of the log files, one a node: debug, info, warn, error or silent',
    parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
    fallback: 'info' as const,
    shown: 'info',
  }),
  output: option({
    flags: '-o, --output <format>',
    description: 'text, or json: one line a ready node, then one for the cluster',
    parse: oneOf('text', 'json'),
    fallback: 'text' as const,
    shown: 'text',
  }),
  ...CONFIG_OPTION,
} satisfies Options;

export const local: CommandDeclaration<typeof OPTIONS> = {
  name: 'local',
  summary: 'run a cluster of three on this machine',
  description:
    'Run a cluster on this machine: three nodes by default, each a process of its own, and say what to try.\n' +
    'Ctrl-C stops them all. Starting again finds the data.',
  args: [],
  isNode: true,
  options: OPTIONS,
  examples: [
    ['kvorum local', 'HTTP on 7101, 7102, 7103, data in .kvorum'],
    ['kvorum local --nodes 5 --data-dir /tmp/five --http-port 7301 --peer-port 7401', ''],
  ],
  notes: 'A node that dies is reported with its last words; the others go on. Kill one and see.',
  run: async ({ values, given }) => {
    const path = await import('node:path');
    const { runLocal } = await import('./supervisor.ts');
    return await runLocal({
      nodes: given.has('nodes') ? values.nodes : undefined,
      httpPort: given.has('httpPort') ? values.httpPort : undefined,
      peerPort: given.has('peerPort') ? values.peerPort : undefined,
      dataDir: values.dataDir ?? path.resolve('.kvorum'),
      logLevel: values.logLevel,
      json: values.output === 'json',
    });
  },
};

/** `kvorum watch [KEY]`, `kvorum watch --prefix P` */
import type { Entry, ResyncBatch, WatchBatch } from '../src/client/index.ts';
import { withClient } from './cluster-client.ts';
import type { CommandDeclaration } from './command.ts';
import { CLIENT_OPTIONS, KEY_ENCODING_OPTION } from './connection.ts';
import { EXIT, UsageError } from './exit.ts';
import { option, type Options } from './options.ts';
import { printableKey, printableValue, write, writeJson, type JsonEntry } from './output.ts';
import { flag, integer, oneOf, text } from './parse.ts';
import { Signals } from './signals.ts';

const OPTIONS = {
  prefix: option({
    flags: '--prefix <prefix>',
    description: 'every key that begins with this',
    parse: text,
    fallback: undefined,
    callOnly: true,
  }),
  from: option({
    flags: '--from <revision>',
    description: 'begin with this revision, as far as history is kept (default: what comes next)',
    parse: integer(1, Number.MAX_SAFE_INTEGER),
    fallback: undefined,
    callOnly: true,
  }),
  prev: option({
    flags: '--prev',
    description: 'with each event show what was there before',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  filter: option({
    flags: '--filter <type>',
    description: 'only put, or only delete',
    parse: oneOf('put', 'delete'),
    fallback: undefined,
    callOnly: true,
  }),
  resync: option({
    flags: '--resync',
    description: 'when history is gone that was not shown yet, show everything there is, and go on from there',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  progress: option({
    flags: '--progress',
    description: 'tell also that everything up to a revision was shown; the first time when the watch begins',
    parse: flag,
    fallback: false,
    callOnly: true,
  }),
  ...KEY_ENCODING_OPTION,
  ...CLIENT_OPTIONS,
} satisfies Options;

export const watch: CommandDeclaration<typeof OPTIONS> = {
  name: 'watch',
  summary: 'show what changes, as it changes',
  description:
    'Show what changes, revision by revision, each once and in order: a line an event, or with -o json an object a ' +
    'revision. Without KEY and --prefix: everything.\n' +
    'It goes on at another node when one fails, without a gap. Ctrl-C ends it, with exit code 0.',
  args: [['[KEY]', 'only this key']],
  options: OPTIONS,
  examples: [
    ['kvorum watch config/app', 'one key'],
    ['kvorum watch --prefix orders/ --prev', 'what begins so, with what was there before'],
    ['kvorum watch --from 1 -o json', 'all history that is kept, then what comes'],
  ],
  notes:
    'Lines are REVISION, put or delete, KEY, VALUE, with tabs between them. History that is no longer\n' +
    'kept ends it with ERR_COMPACTED and exit code 1, unless --resync is given.',
  endsAtOnce: true,
  run: async ({ args: [key], values }) => {
    if (key !== undefined && values.prefix !== undefined) throw new UsageError('give a KEY or --prefix, not both');
    const { keyOf } = await import('./keys.ts');
    const { keyEncoding, from, filter, prev, resync, progress } = values;
    const span =
      key !== undefined
        ? { key: keyOf(key, keyEncoding) }
        : values.prefix === undefined
          ? {}
          : { prefix: keyOf(values.prefix, keyEncoding) };
    const json = values.output === 'json';
    const ended = new AbortController();
    const signals = new Signals();
    signals.mean(() => ended.abort());
    return await withClient(values, async (client) => {
      const { bytes } = await import('../src/client/index.ts');
      const batches = client.with(bytes).watch({
        ...span,
        ...(from !== undefined && { from }),
        ...(filter !== undefined && { filter }),
        prev,
        resync,
        progress,
        signal: ended.signal,
      });
      if (!json) {
        const after = await batches.ready().catch(() => null);
        if (after !== null) console.error(`kvorum: watching from revision ${after + 1}; Ctrl-C ends it`);
      }
      for await (const batch of batches) await (json ? writeJson(shown(batch)) : write(lines(batch)));
      return EXIT.ok;
    });
  },
};

type Batch = WatchBatch<Uint8Array> | ResyncBatch<Uint8Array>;

function shown(batch: Batch): object {
  const { revision } = batch;
  if (batch.resync) return { revision, resync: true, entries: batch.entries.map(jsonEntry) };
  const events = batch.events.map((event) => {
    const prev = event.prev === undefined ? {} : { prev: event.prev === null ? null : jsonEntry(event.prev) };
    if (event.type === 'put') return { type: event.type, ...jsonEntry(event), ...prev };
    return { type: event.type, ...jsonKey(event.keyBytes), modRevision: event.modRevision, ...prev };
  });
  return { revision, events };
}

function lines(batch: Batch): string {
  const { revision } = batch;
  if (batch.resync) {
    const found = batch.entries.map((entry) => {
      const known = jsonEntry(entry);
      return `${entry.modRevision}\tentry\t${printableKey(known)}\t${printableValue(known)}\n`;
    });
    return `${revision}\tresync\t${batch.entries.length} keys\n${found.join('')}`;
  }
  if (batch.events.length === 0) return `${revision}\tprogress\n`;
  const told = batch.events.map((event) => {
    const { prev } = event;
    const before =
      prev === undefined ? '' : `\t(before: ${prev === null ? 'nothing' : printableValue(jsonEntry(prev))})`;
    if (event.type === 'delete') return `${revision}\tdelete\t${shownKey(event.keyBytes)}${before}\n`;
    const entry = jsonEntry(event);
    return `${revision}\tput\t${printableKey(entry)}\t${printableValue(entry)}${before}\n`;
  });
  return told.join('');
}

function shownKey(key: Uint8Array): string {
  return printableKey({ ...jsonKey(key), createRevision: 0, modRevision: 0, version: 0, lease: null });
}

/** As the HTTP API writes it. */
function jsonEntry(entry: Entry<Uint8Array>): JsonEntry {
  const { createRevision, modRevision, version, lease, contentType } = entry;
  const asText = textOf(entry.value);
  return {
    ...jsonKey(entry.keyBytes),
    value: asText ?? Buffer.from(entry.value).toString('base64'),
    encoding: asText === null ? 'base64' : 'utf8',
    ...{ createRevision, modRevision, version, lease, contentType },
  };
}

function jsonKey(key: Uint8Array): Pick<JsonEntry, 'key' | 'keyEncoding'> {
  const asText = textOf(key);
  if (asText !== null) return { key: asText };
  return { key: Buffer.from(key).toString('base64url'), keyEncoding: 'base64url' };
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(stored: Uint8Array): string | null {
  try {
    return decoder.decode(stored);
  } catch {
    // TypeError: these are bytes.
    return null;
  }
}

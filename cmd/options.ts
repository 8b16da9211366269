/**
 * Options of a command: one declaration each, read from the command line, the environment, the config file and the
 * default, in this order. Commander only splits the command line; the values are resolved here, so that whatever does
 * not parse is reported in one way that names where it stood.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { KvorumError } from '../src/errors.ts';
import type { Parse } from './parse.ts';

export interface Option<T> {
  /** As commander wants them: `--data-dir <dir>`, `-o, --output <format>`, `--prev`. */
  readonly flags: string;
  readonly description: string;
  readonly parse: Parse<T>;
  /** Taken when nothing is given. */
  readonly fallback: T;
  /** How the default reads in the help; absent: none is shown. */
  readonly shown?: string;
  /** Belongs to one call, not to a set-up: neither an environment variable nor a key of the config file. */
  readonly callOnly?: true;
  /** Shown under this heading in the help. */
  readonly group?: string;
}

// `any` only as the bound of a generic: an Option<T> is neither co- nor contravariant enough for `unknown`.
// oxlint-disable-next-line typescript/no-explicit-any
export type Options = Readonly<Record<string, Option<any>>>;
export type Values<O extends Options> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };

/** Keeps the declared type of one option, with the default's type folded in. */
export function option<T, F = T>(declaration: {
  flags: string;
  description: string;
  parse: Parse<T>;
  fallback: F;
  shown?: string;
  callOnly?: true;
  group?: string;
}): Option<T | F> {
  return declaration;
}

/** `dataDir` → `KVORUM_DATA_DIR`. */
export function environmentName(key: string): string {
  return `KVORUM_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** `dataDir` → `--data-dir`. */
export function flagName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export interface Sources {
  /** What commander found, by key. */
  readonly flags: Readonly<Record<string, string | true | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `--config`, already taken from flag or environment. */
  readonly configFile: string | undefined;
  /** Every key that any command knows: one file may serve all of them. */
  readonly knownKeys: ReadonlySet<string>;
  readonly workingDirectory: string;
}

export interface Resolved<O extends Options> {
  readonly values: Values<O>;
  /** Keys that came from somewhere else than the default. */
  readonly given: ReadonlySet<string>;
}

/** @throws KvorumError ERR_CONFIG that names the option, the variable or the file and key. */
export function resolveOptions<O extends Options>(options: O, sources: Sources): Resolved<O> {
  const file = sources.configFile === undefined ? {} : readConfigFile(sources.configFile, sources);
  const fileDirectory = path.dirname(path.resolve(sources.workingDirectory, sources.configFile ?? '.'));
  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  for (const [key, declared] of Object.entries(options)) {
    const found = findText(key, declared, sources, file);
    if (found === null) {
      values[key] = declared.fallback;
      continue;
    }
    given.add(key);
    const base = found.inFile ? fileDirectory : sources.workingDirectory;
    try {
      values[key] = declared.parse(found.text, { base });
    } catch (error) {
      throw new KvorumError('ERR_CONFIG', `${found.source}: "${found.text}" ${(error as Error).message}`, {
        cause: error,
        details: { source: found.source },
      });
    }
  }
  return { values: values as Values<O>, given };
}

interface Found {
  readonly text: string;
  readonly source: string;
  readonly inFile: boolean;
}

function findText(
  key: string,
  declared: Option<unknown>,
  sources: Sources,
  file: Readonly<Record<string, string>>,
): Found | null {
  const fromFlag = sources.flags[key];
  if (fromFlag !== undefined) return { text: String(fromFlag), source: flagName(key), inFile: false };
  if (declared.callOnly) return null;
  const variable = environmentName(key);
  const fromEnvironment = sources.environment[variable];
  // An empty variable counts as unset: compose files and unit files often can only blank one.
  if (fromEnvironment !== undefined && fromEnvironment !== '') {
    return { text: fromEnvironment, source: variable, inFile: false };
  }
  if (Object.hasOwn(file, key)) {
    return { text: file[key] ?? '', source: `${sources.configFile}: "${key}"`, inFile: true };
  }
  return null;
}

function readConfigFile(name: string, sources: Sources): Record<string, string> {
  const refuse = (message: string, cause?: unknown): never => {
    throw new KvorumError('ERR_CONFIG', `config file ${name}: ${message}`, { cause });
  };
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path.resolve(sources.workingDirectory, name), 'utf8'));
  } catch (error) {
    refuse((error as Error).message, error);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    refuse('is not a JSON object');
  }
  const found: Record<string, string> = {};
  for (const [key, value] of Object.entries(content as object)) {
    if (!sources.knownKeys.has(key)) {
      refuse(
        `unknown key "${key}"; keys are option names in camel case: ${[...sources.knownKeys].toSorted().join(', ')}`,
      );
    }
    const asText = configText(value);
    if (asText === null) refuse(`"${key}" is ${JSON.stringify(value)}, which no option takes`);
    else found[key] = asText;
  }
  return found;
}

/** A value of the config file as the command line would spell it, so that one parser serves both. */
function configText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value.join(',');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const pairs = Object.entries(value as Record<string, unknown>);
    if (pairs.every(([, part]) => typeof part === 'string')) {
      return pairs.map(([name, part]) => `${name}=${String(part)}`).join(',');
    }
  }
  return null;
}

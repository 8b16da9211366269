/** Secrets come from a file or straight from the environment, never from the command line, where `ps` shows them. */
import { readFileSync } from 'node:fs';

import { KvorumError } from '../src/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The cluster secret, undefined for none. A file that was named wins over `KVORUM_SECRET`. */
export function readSecret(file: string | undefined, environment: Environment): string | undefined {
  return read('--secret-file', file, 'KVORUM_SECRET', environment);
}

/** The HTTP bearer token, undefined for none. A file that was named wins over `KVORUM_HTTP_TOKEN`. */
export function readToken(file: string | undefined, environment: Environment): string | undefined {
  return read('--http-token-file', file, 'KVORUM_HTTP_TOKEN', environment);
}

function read(
  option: string,
  file: string | undefined,
  variable: string,
  environment: Environment,
): string | undefined {
  if (file === undefined) return environment[variable] || undefined;
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    throw new KvorumError('ERR_CONFIG', `${option}: ${(error as Error).message}`, { cause: error });
  }
  // Editors and `echo` end a file with a newline that nobody means as a part of the secret.
  const secret = content.replace(/\r?\n$/, '');
  if (secret === '') throw new KvorumError('ERR_CONFIG', `${option}: ${file} is empty`);
  return secret;
}

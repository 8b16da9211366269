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
  const token = read('--http-token-file', file, 'KVORUM_HTTP_TOKEN', environment);
  // RFC 6750, section 2.1: anything else cannot stand in an Authorization header, so no request could ever match it.
  if (token !== undefined && !/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    const source = file === undefined ? 'KVORUM_HTTP_TOKEN' : `--http-token-file: ${file}`;
    throw new KvorumError('ERR_CONFIG', `${source}: a bearer token has only letters, digits and - . _ ~ + / =`);
  }
  return token;
}

/** The join token, undefined for none. What was given on the command line goes before a file, and a file before `KVORUM_JOIN_TOKEN`. */
export function readJoinToken(
  given: string | undefined,
  file: string | undefined,
  environment: Environment,
): string | undefined {
  const token = given ?? read('--join-token-file', file, 'KVORUM_JOIN_TOKEN', environment);
  if (token !== undefined && !/^[\x21-\x7E]{1,4096}$/.test(token)) {
    const source =
      given !== undefined ? '--join-token' : file === undefined ? 'KVORUM_JOIN_TOKEN' : `--join-token-file: ${file}`;
    throw new KvorumError(
      'ERR_CONFIG',
      `${source}: is not a join token: it is one word, as \`kvorum token create\` prints it`,
    );
  }
  return token;
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

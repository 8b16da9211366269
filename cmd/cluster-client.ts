/** The client library for commands that wait, hold something, or watch. */
import os from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

import type { Client } from '../src/client/index.ts';
import { connectionOf, type CLIENT_OPTIONS } from './connection.ts';
import { reportError } from './exit.ts';
import type { Values } from './options.ts';

export type ClientValues = Values<typeof CLIENT_OPTIONS>;

/**
 * A client while `use` runs. It tries for `--timeout` altogether, and gives up on one node after half of that. Closing it gives back what is still held,
 * and takes no longer than `--timeout` either: what could not be given back ends by itself.
 */
export async function withClient<T>(values: ClientValues, use: (client: Client) => Promise<T>): Promise<T> {
  const { endpoints, timeoutMs, token } = connectionOf(values);
  const { connect } = await import('../src/client/index.ts');
  const client = connect(
    endpoints.map(({ href }) => href),
    {
      timeout: timeoutMs,
      attemptTimeout: Math.ceil(timeoutMs / 2),
      owner: { host: os.hostname(), pid: process.pid },
      ...(token !== undefined && { token }),
    },
  );
  try {
    return await use(client);
  } finally {
    const closed = client.close().catch((error: unknown) => {
      reportError(error, { json: values.output === 'json' });
    });
    await Promise.race([closed, delay(timeoutMs)]);
  }
}

/**
 * A node of the cluster that is embedded in the program that puts the load on it: `node bench/embedded-load.ts '{"name":"n1",…}'`. It takes over leadership, and runs
 * the load of `client-load.ts` on `node.client()` when it is asked to: a POST of the callers' options to the control address, answered with the same lines.
 */
import { createServer } from 'node:http';
import { bytes } from '../src/client/index.ts';
import { startNode } from '../src/index.ts';
import { callersOf, type CallerOptions } from './client-load.ts';

export interface EmbeddedLoadOptions {
  readonly name: string;
  readonly dataDir: string;
  readonly listen: string;
  readonly initialCluster: Readonly<Record<string, string>>;
  readonly secret: string;
  /** HOST:PORT of the HTTP API. */
  readonly http: string;
  /** HOST:PORT where loads are asked for. */
  readonly control: string;
}

const { http, control, ...options } = JSON.parse(process.argv[2] ?? '') as EmbeddedLoadOptions;
const node = await startNode({ ...options, http: addressOf(http) });

createServer((request, response) => {
  void (async () => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    // As whoever cares for speed would: the work is where the leader is.
    if (node.cluster().leader !== node.name) await node.transferLeadership(node.name);
    const client = node.client().with(bytes);
    const result = await callersOf(client, JSON.parse(body) as CallerOptions, () => {
      response.write(`${JSON.stringify({ event: 'measuring' })}\n`);
    });
    await client.close();
    response.end(`${JSON.stringify(result)}\n`);
  })();
}).listen(addressOf(control));

function addressOf(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
}

/**
 * Agents in one process, as services embed them: `node bench/agent-load.ts '{"agents":11,…}'`. What each of them knows by its own gossip is asked for at the control address: a POST of a
 * `Wait` is answered with `Known` once every agent here knows that much.
 */
import { createServer } from 'node:http';
import { Registry, type Gauge } from 'prom-client';
import { startNode } from '../src/index.ts';

export interface AgentLoadOptions {
  readonly agents: number;
  readonly prefix: string;
  readonly join: readonly string[];
  readonly secret: string;
  /** HOST:PORT where waits are asked for. */
  readonly control: string;
}

export interface Wait {
  readonly state: 'alive' | 'dead';
  readonly count: number;
}

/** By the wall clock, ms since 1970: when the first and when the last agent here knew it. */
export interface Known {
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** When all agents here had joined. */
  readonly joinedAtMs: number;
  /** Resident memory before the first agent was started. */
  readonly baseMiB: number;
}

/** The grain of the times. To look costs each agent as much as a few messages. */
const LOOK_EVERY_MS = 200;

const options = JSON.parse(process.argv[2] ?? '') as AgentLoadOptions;
const baseMiB = process.memoryUsage().rss / 1024 / 1024;
const registries = Array.from({ length: options.agents }, () => new Registry());
const joined = Promise.all(
  registries.map(async (registry, i) => {
    const { join, prefix, secret } = options;
    await startNode({ role: 'agent', name: `${prefix}-${i + 1}`, join, secret, listen: '127.0.0.1:0', registry });
  }),
).then(() => Date.now());

async function count(registry: Registry, state: Wait['state']): Promise<number> {
  const gauge = registry.getSingleMetric('kvorum_gossip_members') as Gauge | undefined;
  const { values } = (await gauge?.get()) ?? { values: [] };
  return values.filter(({ labels }) => labels['state'] === state).reduce((sum, { value }) => sum + value, 0);
}

async function known(wait: Wait): Promise<Known> {
  const joinedAtMs = await joined;
  const at = await Promise.all(
    registries.map(async (registry) => {
      while ((await count(registry, wait.state)) < wait.count) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
      return Date.now();
    }),
  );
  return { firstAtMs: Math.min(...at), lastAtMs: Math.max(...at), joinedAtMs, baseMiB };
}

const colon = options.control.lastIndexOf(':');
createServer((request, response) => {
  void (async () => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    response.end(JSON.stringify(await known(JSON.parse(body) as Wait)));
  })();
}).listen({ host: options.control.slice(0, colon), port: Number(options.control.slice(colon + 1)) });

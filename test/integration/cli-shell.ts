/** A cluster with the command line set up for it. */
import { kvorum, type Finished } from '../cmd/cli.ts';
import { Running } from './cli-process.ts';
import { Cluster } from './cluster.ts';
import { until } from './until.ts';

export class Shell {
  readonly cluster: Cluster;
  readonly endpoints: string;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.endpoints = cluster.nodes.map(({ url }) => url).join(',');
  }

  static async start(): Promise<Shell> {
    return new Shell(await Cluster.start());
  }

  run(...args: string[]): Promise<Finished> {
    return kvorum(args, { env: { KVORUM_ENDPOINTS: this.endpoints } });
  }

  begin(...args: string[]): Running {
    return new Running(args, this.endpoints);
  }

  async inspect(
    name: string,
  ): Promise<{ holders: { token: number; lease: string; owner: unknown }[]; queue: unknown[] }> {
    const { stdout } = await this.run('lock', '--inspect', name, '-o', 'json');
    return JSON.parse(stdout) as { holders: { token: number; lease: string; owner: unknown }[]; queue: unknown[] };
  }

  async isFree(name: string): Promise<void> {
    await until(async () => (await this.run('lock', '--inspect', name)).code === 3, {
      timeoutMs: 30_000,
      what: `nobody uses ${name}`,
    });
  }
}

/** Services on real nodes: the command line registers a program, a stream goes on at another node, whoever is killed is gone in time. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, onTestFinished, test } from 'vitest';

import { connect } from '../../src/client/index.ts';
import type { ServiceView } from '../../src/client/index.ts';
import { Notes } from './cli-process.ts';
import { Shell } from './cli-shell.ts';
import { until } from './until.ts';

const idsOf = ({ instances }: Pick<ServiceView, 'instances'>): string =>
  instances.map(({ instance, status }) => `${instance} ${status}`).join(', ');

/** What a stream of a service tells, one node after the other when the one it is at is gone. */
async function follow(urls: () => string[], seen: string[], ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    for (const url of urls()) {
      try {
        const response = await fetch(`${url}/v1/services/payments/watch`, { signal: ended });
        let text = '';
        for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
          text += chunk;
          for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
            const block = text.slice(0, end);
            text = text.slice(end + 2);
            if (!block.startsWith('data: ')) continue;
            const shown = idsOf(JSON.parse(block.slice(6)) as ServiceView);
            if (shown !== seen.at(-1)) seen.push(shown);
          }
        }
      } catch {
        // That node is gone, or the test is over: on to the next.
      }
      if (ended.aborted) return;
    }
  }
}

test('a program is registered while it runs, checked, seen by all, and gone when it is killed', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  let well = true;
  const health = http.createServer((_, response) => {
    response.writeHead(well ? 200 : 503, { connection: 'close' }).end();
  });
  health.listen(0, '127.0.0.1');
  await once(health, 'listening');
  onTestFinished(() => void health.close());
  const address = `127.0.0.1:${(health.address() as AddressInfo).port}`;
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const seen: string[] = [];
  const following = follow(() => shell.cluster.nodes.map(({ url }) => url), seen, ended.signal);
  const shows = (what: string): Promise<unknown> =>
    until(() => seen.at(-1) === what, {
      timeoutMs: 30_000,
      what: `the stream shows "${what}"`,
      explain: () => seen.join(' | '),
    });
  await shows('');

  const check = ['--check-http', '/healthz', '--check-interval', '200ms', '--check-failures', '2'];
  const register = ['service', 'register', 'payments', '--ttl', '3s', '--address', address];
  const script = `echo "$KVORUM_SERVICE $KVORUM_INSTANCE $KVORUM_ADDRESS" >> ${notes.file}; while :; do sleep 0.05; done`;
  const first = shell.begin(...register, ...check, '--instance', 'a', '--', 'sh', '-c', `exec sh -c '${script}'`);
  await notes.says(`payments a ${address}`);
  await shows('a passing');
  well = false;
  await shows('a critical');
  expect((await shell.run('service', 'list', 'payments')).stdout).toMatch(
    /^INSTANCE .*\na +127.*critical .*answered 503\n$/,
  );
  well = true;
  await shows('a passing');

  // Another node answers from here on.
  await shell.cluster.nodes[0]!.kill('SIGKILL');
  const second = shell.begin(...register, '--instance', 'b');
  await second.says(/^b\n$/);
  await shows('a passing, b passing');

  first.kill('SIGKILL');
  await shows('b passing');
  second.kill('SIGINT');
  expect(await second.code).toBe(0);
  await shows('');
  expect((await shell.run('service', 'list', 'payments')).code).toBe(3);
  ended.abort();
  await following;
});

test('an id that another registers: the command before is stopped, exit code 70', async () => {
  const shell = await Shell.start();
  const notes = await Notes.create();
  const script = `trap 'echo stopped >> ${notes.file}; exit 0' TERM; echo started >> ${notes.file}; while :; do sleep 0.05; done`;
  const register = ['service', 'register', 'payments', '--address', 'h:1', '--instance', 'a', '--ttl', '3s'];
  const before = shell.begin(...register, '--', 'sh', '-c', script);
  await notes.says('started');
  const client = connect(shell.endpoints.split(','));
  await client.services.register('payments', { address: 'h:2', instance: 'a' });
  await until(() => before.ended, { timeoutMs: 30_000, what: 'it ends' });
  expect(await before.code).toBe(70);
  expect(notes.lines()).toEqual(['started', 'stopped']);
  expect(before.stderr).toMatch(/ERR_REGISTRATION_LOST/);
  expect((await client.services.list('payments')).instances).toMatchObject([{ address: 'h:2' }]);
  await client.close();
});

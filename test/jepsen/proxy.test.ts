/** The proxy network, with a server and clients of the test's own in the place of nodes. */
import { spawn, type ChildProcess } from 'node:child_process';
import net from 'node:net';
import { afterEach, expect, test } from 'vitest';

import { until } from '../integration/until.ts';
import { createProxy, probeProxy, type ProxyNetwork } from './networks/proxy.ts';
import type { LabNode } from './types.ts';

const reason = probeProxy();
if (reason !== null) process.stderr.write(`proxy tests skipped: ${reason}\n`);

const cleanup: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0).reverse()) await undo();
});

/** Dials what it is told and passes bytes between the connection and its own standard input and output. */
const DIALER = `
const socket = require('node:net').connect({ host: '127.0.0.1', port: Number(process.argv[1]), allowHalfOpen: true });
socket.on('connect', () => { process.stderr.write('connected'); process.stdin.pipe(socket); });
socket.on('error', () => process.exit(3));
socket.pipe(process.stdout);
`;

interface Stage {
  readonly network: ProxyNetwork;
  readonly left: LabNode;
  readonly right: LabNode;
  /** Bytes that arrived at the right node's server, as text. */
  heard(): string;
  /** Whether the dialer's system has a connection, to the proxy that is. */
  connected(): boolean;
  /** Bytes that came back to the dialer. */
  answered(): string;
  say(text: string): void;
  answer(text: string): void;
}

async function stage(): Promise<Stage> {
  const network = await createProxy(2, 1);
  cleanup.push(async () => await network.close());
  const [place, theirs] = network.places;
  if (place === undefined || theirs === undefined) throw new Error('a network of two has two places');
  const sockets: net.Socket[] = [];
  let heard = '';
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('data', (bytes) => {
      heard += bytes.toString();
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => {
    server.listen(Number(theirs.listen.split(':')[1]), '127.0.0.1', resolve);
  });
  cleanup.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const port = theirs.advertised.split(':')[1] ?? '';
  const dialer: { child: ChildProcess | null; answered: string; connected: boolean } = {
    child: null,
    answered: '',
    connected: false,
  };
  const left = { name: 'left', get pid() { return dialer.child?.pid ?? 0; } } as LabNode; // prettier-ignore
  const right = { name: 'right', pid: process.pid } as LabNode;
  network.attach([left, right]);
  network.started(right);
  // Orders are obeyed one after the other: the proxy listens once this one was.
  await network.healAll();
  return {
    ...{ network, left, right },
    heard: () => heard,
    answered: () => dialer.answered,
    connected: () => dialer.connected,
    say: (text) => {
      if (dialer.child === null) {
        // Known before it dials: it takes a moment to start.
        dialer.child = spawn(process.execPath, ['-e', DIALER, port], { stdio: 'pipe' });
        const { child } = dialer;
        cleanup.push(() => void child.kill('SIGKILL'));
        child.stderr?.on('data', () => {
          dialer.connected = true;
        });
        child.stdout?.on('data', (bytes: Buffer) => {
          dialer.answered += bytes.toString();
        });
        network.started(left);
      }
      dialer.child.stdin?.write(text);
    },
    answer: (text) => sockets.at(-1)?.write(text),
  };
}

const soon = { timeoutMs: 5000, what: 'the bytes' };

test.skipIf(reason !== null)(
  'what is blocked in one direction stands still, the other flows, and all of it comes after healing',
  async () => {
    const { network, left, right, say, heard, answer, answered } = await stage();
    say('one ');
    await until(() => heard() === 'one ', soon);
    await network.block(left, right);
    say('two ');
    answer('back');
    await until(() => answered() === 'back', soon);
    expect(heard()).toBe('one ');
    await network.unblock(left, right);
    await until(() => heard() === 'one two ', soon);
  },
);

test.skipIf(reason !== null)('a connection that is made across a cut hangs until it heals', async () => {
  const { network, left, right, say, heard, connected } = await stage();
  await network.block(right, left);
  say('hello');
  await until(connected, { ...soon, what: 'a connection to the proxy' });
  // By the time that two orders were obeyed the proxy has seen it.
  await network.shape(left, right, { delayMs: 1 });
  await network.shape(left, right, null);
  expect(heard()).toBe('');
  await network.healAll();
  await until(() => heard() === 'hello', soon);
});

test.skipIf(reason !== null)('what is lost comes late, and in order', async () => {
  const { network, left, right, say, heard } = await stage();
  say('0');
  await until(() => heard() === '0', soon);
  await network.shape(left, right, { loss: 0.5, delayMs: 5, jitterMs: 5 });
  const text = Array.from({ length: 50 }, (_, index) => `${index % 10}`).join('');
  for (const character of text) say(character);
  await until(() => heard().length === 51, { ...soon, timeoutMs: 9000 });
  expect(heard()).toBe(`0${text}`);
});

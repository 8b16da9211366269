import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import type { Libp2p } from '@libp2p/interface';
import { afterEach, describe, expect, test } from 'vitest';
import { createLibp2pTransport } from '../../src/transport/libp2p-transport.ts';
import { ADMISSION_PROTOCOL, channelProtocol } from '../../src/transport/limits.ts';
import { parseAddress, toMultiaddr } from '../../src/transport/address.ts';
import { SECRET, eventTypes, linked, testNode, transportConformance } from './conformance.ts';
import type { TestNode } from './conformance.ts';
import { Libp2pHarness } from './libp2p-harness.ts';

transportConformance('libp2p', () => new Libp2pHarness());

const harnesses: Libp2pHarness[] = [];
const sockets: Socket[] = [];
const strangers: Libp2p[] = [];
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const stranger of strangers.splice(0)) await stranger.stop();
  for (const harness of harnesses.splice(0)) await harness.close();
});

function start(): Libp2pHarness {
  const harness = new Libp2pHarness();
  harnesses.push(harness);
  return harness;
}

async function socketTo(node: TestNode): Promise<Socket> {
  const socket = connect(parseAddress(node.transport.address));
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
    socket.resume();
  });
}

/** A link that works right through what strangers do. */
async function pair(h: Libp2pHarness): Promise<[TestNode, TestNode]> {
  const a = await h.create({ name: 'a' });
  const b = await h.create({ name: 'b' });
  a.transport.connect(b.transport.address);
  b.onFrame = (from, channel, frame) => b.transport.send(from, channel, [frame]);
  await h.until(() => linked(a, b) && linked(b, a), 'linked');
  return [a, b];
}

async function works(h: Libp2pHarness, a: TestNode, b: TestNode): Promise<void> {
  const frames = a.frames.length;
  expect(a.transport.send(b.id, 'raft', [Uint8Array.of(1)])).toBe(true);
  await h.until(() => a.frames.length > frames, 'an echo');
  expect(eventTypes(a)).toEqual(['up']);
  expect(eventTypes(b)).toEqual(['up']);
}

describe('bytes from strangers on the peer port', () => {
  test('garbage and HTTP are answered by closing, counted, and harm nothing', async () => {
    const h = start();
    const [a, b] = await pair(h);
    const noise64k = Buffer.alloc(65_536);
    let state = 1;
    for (let i = 0; i < noise64k.length; i++) {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      noise64k[i] = state >>> 16;
    }
    const http = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const zeros = Buffer.alloc(100_000);
    // The first words of the protocol, then rubbish where noise begins.
    const opening = Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n'), noise64k]);
    const attacks = [noise64k, http, zeros, opening, Buffer.alloc(3_000_000, 0xff)];
    const attackers = await Promise.all(attacks.map(() => socketTo(b)));
    for (const [index, socket] of attackers.entries()) socket.write(attacks[index]!);
    await Promise.all(attackers.map((socket) => closed(socket)));
    await h.until(() => b.transport.stats().malformed >= attacks.length, 'all counted');
    await works(h, a, b);
  });

  test('sockets that say nothing, or a byte now and then, are closed within seconds and hold nobody up', async () => {
    const h = start();
    const [a, b] = await pair(h);
    const silent = await Promise.all(Array.from({ length: 50 }, () => socketTo(b)));
    const slow = await Promise.all(Array.from({ length: 20 }, () => socketTo(b)));
    const opening = Buffer.from('\x13/multistream/1.0.0\n');
    let at = 0;
    const drip = setInterval(() => {
      for (const socket of slow) socket.write(opening.subarray(at, at + 1));
      at++;
    }, 300);
    // Half-open: its end is closed, and it still waits.
    for (const socket of silent.slice(0, 10)) socket.end();
    // Meanwhile a newcomer is let in without delay.
    const c = await h.create({ name: 'c' });
    c.transport.connect(b.transport.address);
    const before = performance.now();
    await h.until(() => linked(c, b), 'a newcomer');
    expect(performance.now() - before).toBeLessThan(2000);
    await Promise.all([...silent, ...slow].map((socket) => closed(socket)));
    clearInterval(drip);
    const frames = a.frames.length;
    a.transport.send(b.id, 'raft', [Uint8Array.of(1)]);
    await h.until(() => a.frames.length > frames, 'an echo');
  });

  test('a libp2p node without the secret reaches no protocol, however it tries', async () => {
    const h = start();
    const [a, b] = await pair(h);
    const stranger = await createLibp2p({
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    strangers.push(stranger);
    const address = toMultiaddr(parseAddress(b.transport.address));
    // Straight to raft, without admission: the connection is closed.
    let connection = await stranger.dial(address, { force: true });
    await connection.newStream(channelProtocol('raft')).catch(() => undefined);
    await h.until(() => connection.status !== 'open', 'closed');
    expect(b.transport.stats().malformed).toBe(1);
    // Nonsense in admission.
    connection = await stranger.dial(address, { force: true });
    let stream = await connection.newStream(ADMISSION_PROTOCOL);
    stream.send(new Uint8Array([0, 0, 0, 2, 0x7b, 0x7d]));
    await h.until(() => connection.status !== 'open', 'closed');
    expect(b.transport.stats().malformed).toBe(2);
    // A frame of 4 GiB in admission.
    connection = await stranger.dial(address, { force: true });
    stream = await connection.newStream(ADMISSION_PROTOCOL);
    stream.send(new Uint8Array([0xff, 0xff, 0xff, 0xff, 1]));
    await h.until(() => connection.status !== 'open', 'closed');
    expect(b.transport.stats().malformed).toBe(3);
    // A raft stream while admission is under way is not read.
    connection = await stranger.dial(address, { force: true });
    await connection.newStream(ADMISSION_PROTOCOL);
    stream = await connection.newStream(channelProtocol('raft'));
    stream.send(new Uint8Array([0, 0, 0, 1, 7]));
    // Nothing more: the handshake times out.
    await h.until(() => connection.status !== 'open', 'closed');
    expect(b.transport.stats().refused['ERR_TIMEOUT']).toBe(1);
    expect(b.frames).toEqual([]);
    await works(h, a, b);
  });

  test('a connection that sends much before it is admitted is closed', async () => {
    const h = start();
    const [a, b] = await pair(h);
    const stranger = await createLibp2p({
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    strangers.push(stranger);
    const connection = await stranger.dial(toMultiaddr(parseAddress(b.transport.address)));
    const streams = [await connection.newStream(ADMISSION_PROTOCOL)];
    for (const channel of ['raft', 'client', 'gossip'] as const)
      streams.push(await connection.newStream(channelProtocol(channel)));
    const before = performance.now();
    for (const stream of streams.slice(1)) stream.send(new Uint8Array(200_000));
    await h.until(() => connection.status !== 'open', 'closed');
    expect(performance.now() - before).toBeLessThan(1000);
    await works(h, a, b);
  });
});

describe('libp2p', () => {
  test('tells within milliseconds that the process of a peer was killed', async () => {
    const h = start();
    const child = spawn(process.execPath, [new URL('peer-process.ts', import.meta.url).pathname, SECRET], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const a = await h.create({ name: 'a' });
    a.transport.connect(line.toString().trim());
    await h.until(() => a.transport.peers().length === 1, 'linked');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await h.until(() => eventTypes(a).includes('lost'), 'lost');
    await exited;
    expect(eventTypes(a)).toEqual(['up', 'down', 'lost']);
  });

  test('does not take a process that stands still for dead', async () => {
    const h = start();
    const child = spawn(process.execPath, [new URL('peer-process.ts', import.meta.url).pathname, SECRET], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const a = await h.create({ name: 'a' });
    a.transport.connect(line.toString().trim());
    await h.until(() => a.transport.peers().length === 1, 'linked');
    child.kill('SIGSTOP');
    const { id } = a.transport.peers()[0]!;
    // What cannot leave stays in a queue that is bounded.
    const frame = new Uint8Array(1_000_000);
    let taken = 0;
    for (let i = 0; i < 200; i++) {
      if (a.transport.send(id, 'client', [frame])) taken++;
      await h.pass(1);
    }
    expect(taken).toBeLessThan(40);
    expect(a.transport.queuedBytes(id, 'client')).toBeLessThan(20_000_000);
    expect(eventTypes(a)).toEqual(['up']);
    child.kill('SIGCONT');
    await h.until(() => a.frames.length === taken, 'all that was taken comes back');
  });

  test('says what is wrong with a listen address', async () => {
    const { handlers } = testNode('x', { id: '1', peerId: 'x' });
    const privateKey = await generateKeyPair('Ed25519');
    const listen = (address: string): Promise<unknown> =>
      createLibp2pTransport({
        privateKey,
        listen: address,
        credential: () => ({ secret: SECRET }),
        wallTime: Date.now,
        handlers,
      });
    await expect(listen('nonsense')).rejects.toMatchObject({ code: 'ERR_CONFIG' });
    await expect(listen('192.0.2.1:7101')).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: 'cannot listen for peers on 192.0.2.1:7101: EADDRNOTAVAIL',
    });
    await expect(listen('no-such-host.invalid:7101')).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });

  test('listens and dials by name, and on IPv6 where there is any', async () => {
    const h = start();
    const a = await h.create({ name: 'a', address: 'localhost:0' });
    expect(a.transport.address).toMatch(/^localhost:\d+$/);
    const b = await h.create({ name: 'b' });
    b.transport.connect(a.transport.address);
    await h.until(() => linked(b, a), 'linked');
    const six = await h.create({ name: 'six', address: '[::1]:0' }).catch((error: unknown) => String(error));
    if (typeof six === 'string') {
      console.log(`IPv6 not tried: ${six}`);
      return;
    }
    expect(six.transport.address).toMatch(/^\[::1\]:\d+$/);
    b.transport.connect(six.transport.address);
    await h.until(() => linked(b, six), 'linked over IPv6');
  });

  test('of a cluster of five: everybody is linked with everybody, once', async () => {
    const h = start();
    const nodes: TestNode[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e']) nodes.push(await h.create({ name }));
    for (const one of nodes) for (const other of nodes) one.transport.connect(other.transport.address);
    await h.until(() => nodes.every((node) => node.transport.peers().length === 4), 'all linked');
    await h.pass(200);
    for (const node of nodes) expect(eventTypes(node)).not.toContain('down');
  });
});

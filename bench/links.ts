/**
 * What a link between two peers costs: in one process, over loopback, one peer that others dial. CPU of both sides, from the dial until both are admitted, and of the first frames on two channels each way,
 * which open their streams.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openIdentity } from '../src/node/identity.ts';
import { realPlatform } from '../src/node/real-platform.ts';
import { openMemoryStore } from '../src/storage/memory-store.ts';
import { createLibp2pTransport } from '../src/transport/libp2p-transport.ts';
import { PROTOCOL_VERSION } from '../src/transport/limits.ts';
import type { Transport } from '../src/transport/types.ts';
import { until } from './workshop.ts';

const WARM = 20;
const MEASURED = 40;
/** What is left of a handshake on the other side, and keep-alives that begin. */
const SETTLE_MS = 1500;
const TIMEOUT_MS = 30_000;

export interface LinkFigures {
  readonly linkMs: number;
  readonly streamsMs: number;
  readonly linkMiB: number;
}

export async function measureLinks(): Promise<LinkFigures> {
  const hub = await peer('hub');
  const others = await Promise.all(Array.from({ length: WARM + MEASURED }, (_, i) => peer(`peer-${i}`)));
  const link = async (from: number, to: number): Promise<void> => {
    for (const { transport } of others.slice(from, to)) transport.connect(hub.transport.address);
    await until('links', TIMEOUT_MS, () => Promise.resolve(hub.transport.peers().length === to ? true : null));
    await sleep(SETTLE_MS);
  };
  await link(0, WARM);
  const before = process.memoryUsage().rss;
  const linkMs = await cpuMs(() => link(WARM, WARM + MEASURED));
  const linkMiB = (process.memoryUsage().rss - before) / 1024 / 1024 / MEASURED;
  const measured = others.slice(WARM);
  const streamsMs = await cpuMs(async () => {
    for (const { id, transport } of measured) {
      for (const channel of ['ping', 'gossip'] as const) {
        transport.send(hub.id, channel, [new Uint8Array(100)]);
        hub.transport.send(id, channel, [new Uint8Array(100)]);
      }
    }
    await sleep(SETTLE_MS);
  });
  await Promise.all([hub, ...others].map(async ({ transport }) => await transport.close()));
  return { linkMs: linkMs / MEASURED, streamsMs: streamsMs / MEASURED, linkMiB };
}

async function peer(name: string): Promise<{ readonly id: string; readonly transport: Transport }> {
  const store = await openMemoryStore({ schedule: (task) => void setImmediate(task), now: () => performance.now() });
  const { id, peerId, privateKey } = await openIdentity(store, () => realPlatform.createKey());
  await store.close();
  const transport: Transport = await createLibp2pTransport({
    privateKey,
    listen: '127.0.0.1:0',
    credential: () => ({ secret: 'what a link costs' }),
    wallTime: Date.now,
    handlers: {
      hello: () => ({
        ...{ clusterId: '1', id, name, peerId, bootEpoch: 1, address: transport.address },
        ...{ http: '', pid: process.pid, protocol: PROTOCOL_VERSION, extra: {} },
      }),
      admit: () => ({ ok: true }),
      frame: () => undefined,
      peer: () => undefined,
    },
  });
  return { id, transport };
}

async function cpuMs(action: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/errors.ts';
import { simCluster, type SimCluster } from '../../src/testing/index.ts';

async function text(cluster: SimCluster, name: string, key: string): Promise<string | null> {
  const { entry } = await cluster.run(cluster.node(name).call((node) => node.get(key)));
  return entry === null ? null : new TextDecoder().decode(entry.value);
}

function put(cluster: SimCluster, name: string, key: string, value: string): Promise<{ revision: number }> {
  return cluster.run(cluster.node(name).call((node) => node.put(key, value)));
}

describe('a simulated cluster', () => {
  test('serves from every node, and keeps what it acknowledged when all crash', async () => {
    const cluster = await simCluster({ seed: 1 });
    const { revision } = await put(cluster, 'n1', 'a', '1');
    for (const { name } of cluster.nodes) expect(await text(cluster, name, 'a')).toBe('1');
    for (const node of cluster.nodes) node.crash();
    expect(cluster.leader).toBeNull();
    await cluster.start();
    const again = await put(cluster, 'n3', 'a', '2');
    expect(again.revision).toBe(revision + 1);
    cluster.close();
  });

  test('runs the same way for the same seed, and another way for another', async () => {
    const story = async (seed: number): Promise<unknown[]> => {
      const cluster = await simCluster({ seed });
      await put(cluster, 'n2', 'a', '1');
      const { leader } = cluster;
      leader?.crash();
      await cluster.until(() => cluster.leader !== null, 'a new leader');
      const facts = [leader?.name, cluster.leader?.name, cluster.now, cluster.time.executed, cluster.nodes[0]?.starts];
      cluster.close();
      return facts;
    };
    expect(await story(5)).toEqual(await story(5));
    expect(await story(5)).not.toEqual(await story(6));
  });

  test('a minority acknowledges nothing, and follows when it is healed', async () => {
    const cluster = await simCluster({ seed: 2 });
    const old = cluster.node(cluster.leader?.name ?? '');
    const others = cluster.nodes.filter((node) => node !== old).map(({ name }) => name);
    cluster.partition([old.name], others);
    const lost = old.call((node) => node.put('a', 'lost', { timeoutMs: 3000 }));
    await expect(cluster.run(lost)).rejects.toMatchObject({ code: 'ERR_TIMEOUT' });
    await put(cluster, others[0] ?? '', 'a', 'kept');
    cluster.heal();
    expect(await text(cluster, old.name, 'a')).toBe('kept');
    cluster.close();
  });

  test('a paused node takes its calls when it goes on; a crashed one breaks them off', async () => {
    const cluster = await simCluster({ seed: 3 });
    const [n1, n2] = [cluster.node('n1'), cluster.node('n2')];
    n1.pause();
    let answered = false;
    const call = n1
      .call((node) => node.put('a', '1', { timeoutMs: 30_000 }))
      .then(() => {
        answered = true;
      });
    await cluster.advance(5000);
    expect(answered).toBe(false);
    n1.resume();
    await cluster.run(call);
    const broken = n2.call((node) => node.put('b', '1'));
    n2.crash();
    const error: unknown = await broken.catch((reason: unknown) => reason);
    expect(KvorumError.is(error, 'ERR_CLOSED') && error.outcome).toBe('unknown');
    await expect(n2.call((node) => node.get('b'))).rejects.toMatchObject({ code: 'ERR_CLOSED', outcome: 'none' });
    cluster.close();
  });

  test('a node that was wiped is refused, and is itself again with its own disk', async () => {
    const cluster = await simCluster({ seed: 4 });
    const n3 = cluster.node('n3');
    n3.crash();
    const own = n3.disk;
    n3.wipe();
    void n3.start();
    await cluster.until(() => n3.state === 'failed', 'it is refused');
    expect(n3.failure).toMatchObject({ code: 'ERR_MEMBER_REPLACED' });
    n3.disk = own;
    await cluster.start();
    await put(cluster, 'n3', 'a', '1');
    cluster.close();
  });

  test('an old copy of any disk is refused, also of the one that led', async () => {
    for (const led of [true, false]) {
      const cluster = await simCluster({ seed: led ? 7 : 8 });
      await put(cluster, 'n1', 'a', '0');
      const { leader } = cluster;
      const victim = cluster.nodes.find((node) => (node === leader) === led) ?? cluster.node('n1');
      // As a copy of its directory taken while it stood still.
      const copy = victim.disk.copy();
      for (let i = 1; i <= 20; i++) await put(cluster, victim.name, 'a', String(i));
      await cluster.advance(2000);
      victim.crash();
      victim.disk = copy;
      void victim.start();
      await cluster.until(() => victim.state === 'failed', 'it is refused');
      expect(victim.failure).toMatchObject({ code: 'ERR_MEMBER_REPLACED' });
      cluster.close();
    }
  });

  test('clocks jump and drift, and a minute costs nothing', async () => {
    const cluster = await simCluster({ seed: 5, clockRate: (name) => (name === 'n1' ? 1.1 : 1) });
    cluster.node('n2').jumpClock(-3_600_000);
    await cluster.advance(60_000);
    await put(cluster, 'n2', 'a', '1');
    expect(cluster.now).toBeGreaterThan(60_000);
    cluster.close();
  });

  test('says what it waited for', async () => {
    const cluster = await simCluster({ seed: 6 });
    await expect(cluster.until(() => false, 'a miracle', 100)).rejects.toThrow(/a miracle: not reached within 100/);
    cluster.close();
  });
});

test('the example in docs/testing.md is the one that is run', () => {
  const doc = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8');
  const source = readFileSync(new URL('./example.test.ts', import.meta.url), 'utf8');
  const shown = source
    .replace("'../../src/index.ts'", "'kvorum'")
    .replace("'../../src/testing/index.ts'", "'kvorum/testing'");
  expect(doc).toContain(`\`\`\`ts\n${shown}\`\`\``);
});

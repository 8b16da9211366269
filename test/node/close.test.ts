import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { startNode } from '../../src/index.ts';
import { GroupState } from '../../src/storage/state-store.ts';

let directory: string | null = null;

afterEach(async () => {
  vi.restoreAllMocks();
  if (directory !== null) await rm(directory, { recursive: true, force: true });
});

describe('closing a node', () => {
  it('lets go of port and directory although the last flush fails', async () => {
    directory = await mkdtemp(join(tmpdir(), 'kvorum-close-'));
    const dataDir = join(directory, 'n1');
    const node = await startNode({ dataDir });
    await node.put('a', '1');
    const flush = vi.spyOn(GroupState.prototype, 'stageFlush').mockImplementation(() => {
      throw new Error('no space left on device');
    });
    await node.close();
    expect(flush).toHaveBeenCalled();
    flush.mockRestore();
    const again = await startNode({ dataDir });
    expect(Buffer.from((await again.get('a')).entry?.value ?? []).toString()).toBe('1');
    await again.close();
  });
});

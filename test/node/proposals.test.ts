import { describe, expect, it } from 'vitest';
import type { KvorumError } from '../../src/errors.ts';
import type { CommandResult } from '../../src/machine/types.ts';
import { Proposals, type Proposal } from '../../src/node/proposals.ts';

interface Probe extends Proposal {
  readonly ends: { error: KvorumError | null; result: CommandResult | null }[];
}

function probe(deadline = 1000, bytes = 10): Probe {
  const ends: Probe['ends'] = [];
  return { data: new Uint8Array(bytes), deadline, ends, done: (error, result) => ends.push({ error, result }) };
}

const result: CommandResult = { ok: true, revision: 7, created: true };
const limits = { maxPending: 4, maxQueuedBytes: 100 };

describe('Proposals', () => {
  it('answers an appended proposal with the result of the entry at its index', () => {
    const proposals = new Proposals(limits);
    const [a, b] = [probe(), probe()];
    proposals.add(a);
    proposals.add(b);
    proposals.appended(proposals.take(10, 1000), 5, 2);
    proposals.applied(5, 2, result);
    proposals.applied(6, 2, result);
    expect(a.ends).toEqual([{ error: null, result }]);
    expect(b.ends).toEqual([{ error: null, result }]);
    expect(proposals.pending).toBe(0);
  });

  it('says outcome none when an entry of another term was committed in its place', () => {
    const proposals = new Proposals(limits);
    const a = probe();
    proposals.add(a);
    proposals.appended(proposals.take(10, 1000), 5, 2);
    proposals.applied(5, 3, null);
    expect(a.ends[0]?.error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
  });

  it('says outcome none for all of an earlier term at and behind the first entry of a later one, and for no other', () => {
    const proposals = new Proposals(limits);
    const [before, at, behind] = [probe(), probe(), probe()];
    for (const one of [before, at, behind]) proposals.add(one);
    proposals.appended(proposals.take(10, 1000), 5, 2);
    proposals.applied(5, 2, result);
    proposals.applied(6, 3, null);
    expect(before.ends).toEqual([{ error: null, result }]);
    for (const lost of [at, behind])
      expect(lost.ends[0]?.error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
    expect(proposals.pending).toBe(0);
  });

  it('never takes an entry of an earlier term, brought back by a later leader, for its own', () => {
    const proposals = new Proposals(limits);
    const a = probe();
    proposals.add(a);
    proposals.appended(proposals.take(10, 1000), 5, 3);
    proposals.applied(4, 2, null);
    proposals.applied(5, 2, result);
    expect(a.ends).toHaveLength(1);
    expect(a.ends[0]?.error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
    expect(proposals.pending).toBe(0);
  });

  it('ends a proposal whose place in the log this node itself fills anew, outcome unknown', () => {
    const proposals = new Proposals(limits);
    const [before, after] = [probe(), probe()];
    proposals.add(before);
    proposals.appended(proposals.take(10, 1000), 5, 3);
    proposals.add(after);
    proposals.appended(proposals.take(10, 1000), 5, 5);
    expect(before.ends[0]?.error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    proposals.applied(5, 5, result);
    expect(after.ends).toEqual([{ error: null, result }]);
    expect(before.ends).toHaveLength(1);
  });

  it('ends, outcome unknown, what it appended in an earlier reign when its index is taken again', () => {
    const proposals = new Proposals(limits);
    const [first, second] = [probe(), probe()];
    proposals.add(first);
    proposals.appended(proposals.take(1, 1000), 5, 2);
    proposals.add(second);
    proposals.appended(proposals.take(1, 1000), 5, 4);
    expect(first.ends[0]?.error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    proposals.applied(5, 4, result);
    expect(first.ends).toHaveLength(1);
    expect(second.ends).toEqual([{ error: null, result }]);
  });

  it('knows after a snapshot that what an earlier term appended behind it is gone', () => {
    const proposals = new Proposals(limits);
    const [covered, behind] = [probe(), probe()];
    proposals.add(covered);
    proposals.add(behind);
    proposals.appended(proposals.take(2, 1000), 5, 2);
    proposals.snapshotInstalled(5, 3);
    expect(covered.ends[0]?.error?.outcome).toBe('unknown');
    expect(behind.ends[0]?.error?.outcome).toBe('none');
    expect(proposals.pending).toBe(0);
  });

  it('refuses beyond its bounds in count and in bytes, and takes one over-size proposal when the queue is empty', () => {
    const counted = new Proposals(limits);
    const all = Array.from({ length: 5 }, () => probe());
    for (const one of all) counted.add(one);
    expect(all[4]?.ends[0]?.error).toMatchObject({ code: 'ERR_OVERLOADED', outcome: 'none' });
    expect(counted.pending).toBe(4);

    const weighed = new Proposals(limits);
    const [large, small] = [probe(1000, 500), probe(1000, 1)];
    weighed.add(large);
    weighed.add(small);
    expect(large.ends).toEqual([]);
    expect(small.ends[0]?.error?.code).toBe('ERR_OVERLOADED');
    weighed.take(1, 1);
    expect(weighed.queuedBytes).toBe(0);
  });

  it('takes in order, within count and bytes, and puts back at the head', () => {
    const proposals = new Proposals(limits);
    const all = Array.from({ length: 4 }, () => probe());
    for (const one of all) proposals.add(one);
    expect(proposals.take(3, 25)).toEqual(all.slice(0, 2));
    proposals.putBack(all.slice(0, 2));
    expect(proposals.take(3, 1000)).toEqual(all.slice(0, 3));
    expect(proposals.queuedBytes).toBe(10);
  });

  it('ends queued ones with outcome none and appended or forwarded ones with unknown when their time is over', () => {
    const proposals = new Proposals(limits);
    const [queued, appended, forwarded, later] = [probe(10), probe(10), probe(10), probe(50)];
    proposals.add(appended);
    proposals.appended(proposals.take(1, 1000), 1, 1);
    proposals.add(forwarded);
    proposals.add(later);
    const request = proposals.forward('2', proposals.take(2, 1000));
    proposals.add(queued);
    proposals.sweep(10);
    expect(queued.ends[0]?.error).toMatchObject({ code: 'ERR_NO_LEADER', outcome: 'none' });
    expect(appended.ends[0]?.error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    expect(forwarded.ends[0]?.error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    expect(later.ends).toEqual([]);
    // A late answer ends only what is still open.
    const answer = { error: null, result, retry: false };
    proposals.answered('2', request, 0, [answer, answer]);
    expect(forwarded.ends).toHaveLength(1);
    expect(later.ends).toEqual([{ error: null, result }]);
    expect(proposals.pending).toBe(0);
  });

  it('answers at once when the peer that it forwarded to goes away', () => {
    const proposals = new Proposals(limits);
    const [a, b] = [probe(), probe()];
    proposals.add(a);
    proposals.forward('2', proposals.take(1, 1000));
    proposals.add(b);
    proposals.forward('3', proposals.take(1, 1000));
    proposals.peerGone('2');
    expect(a.ends[0]?.error).toMatchObject({ code: 'ERR_TIMEOUT', outcome: 'unknown' });
    expect(b.ends).toEqual([]);
    expect(proposals.pending).toBe(1);
  });

  it('ignores answers from a peer that was not asked, of another length, or given twice', () => {
    const proposals = new Proposals(limits);
    const a = probe();
    proposals.add(a);
    const request = proposals.forward('2', proposals.take(1, 1000));
    const answer = { error: null, result, retry: false };
    proposals.answered('3', request, 0, [answer]);
    proposals.answered('2', request, 0, [answer, answer]);
    expect(a.ends).toEqual([]);
    proposals.answered('2', request, 0, [answer]);
    proposals.answered('2', request, 0, [answer]);
    expect(a.ends).toHaveLength(1);
  });

  it('takes the answers to one request in parts', () => {
    const proposals = new Proposals(limits);
    const [a, b, c] = [probe(), probe(), probe()];
    for (const one of [a, b, c]) proposals.add(one);
    const request = proposals.forward('2', proposals.take(3, 1000));
    const answer = { error: null, result, retry: false };
    proposals.answered('2', request, 1, [answer]);
    expect([a.ends, b.ends, c.ends].map((ends) => ends.length)).toEqual([0, 1, 0]);
    proposals.answered('2', request, 2, [answer, answer]);
    proposals.answered('2', request, 0, [answer, answer]);
    expect([a.ends, b.ends, c.ends].map((ends) => ends.length)).toEqual([1, 1, 0]);
    expect(proposals.pending).toBe(1);
    proposals.peerGone('2');
    expect(c.ends[0]?.error?.outcome).toBe('unknown');
    expect([a.ends, b.ends, c.ends].map((ends) => ends.length)).toEqual([1, 1, 1]);
    expect(proposals.pending).toBe(0);
  });

  it('queues again what the other node neither appended nor forwarded', () => {
    const proposals = new Proposals(limits);
    const a = probe();
    proposals.add(a);
    const request = proposals.forward('2', proposals.take(1, 1000));
    proposals.answered('2', request, 0, [{ error: null, result: null, retry: true }]);
    expect(proposals.take(1, 1000)).toEqual([a]);
  });

  it('ends everything once when it closes', () => {
    const proposals = new Proposals(limits);
    const [queued, appended, forwarded] = [probe(), probe(), probe()];
    proposals.add(appended);
    proposals.appended(proposals.take(1, 1000), 1, 1);
    proposals.add(forwarded);
    proposals.forward('2', proposals.take(1, 1000));
    proposals.add(queued);
    const closed = Object.assign(new Error('closed'), { code: 'ERR_CLOSED' }) as KvorumError;
    proposals.close(closed);
    proposals.close(closed);
    expect([queued, appended, forwarded].map((one) => one.ends.length)).toEqual([1, 1, 1]);
    expect(queued.ends[0]?.error).toBe(closed);
    expect(appended.ends[0]?.error?.outcome).toBe('unknown');
    expect(forwarded.ends[0]?.error?.outcome).toBe('unknown');
  });
});

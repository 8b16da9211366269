/**
 * The same without the library: acquire, renew and release by HTTP, each sent until its answer is definite, and a guarded
 * transaction in the store. The holder counts by itself until when the lock is certainly its own (from when it sent what was
 * acknowledged), and what the cluster says to the contrary before that is wrong.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { PersistentClient } from '../persistent-client.ts';
import type { LabNode } from '../types.ts';
import { writeTo } from './guarded-resource.ts';
import type { SectionContext, SectionOperation, SectionReport, SectionTask } from './section.ts';

export async function playRawSection(
  client: PersistentClient,
  target: LabNode,
  task: SectionTask,
  { nowUs }: Pick<SectionContext, 'nowUs'>,
  signal: AbortSignal,
): Promise<SectionReport> {
  const path = `/v1/locks/${encodeURIComponent(task.lock)}`;
  const operations: SectionOperation[] = [];
  const wrong: string[] = [];
  const nothing = { operations, acquired: false, prevented: 0, lost: false, wrong };

  const observed = nowUs();
  const seen = await client.ask(target, { method: 'GET', path }, signal);
  if (seen.type === 'told') {
    const [holder] = seen.body['holders'] as readonly { readonly token: number }[];
    operations.push({ op: 'query', input: null, output: holder?.token ?? null, call: observed, return: nowUs() });
  }

  const acquired = nowUs();
  const { ttlMs, waitMs, holder } = task;
  const acquire = {
    method: 'POST',
    path: `${path}/acquire`,
    json: { ttl: ttlMs, wait: waitMs, owner: holder },
  } as const;
  const answer = await client.insist(
    target,
    { ...acquire, waitMs, answers: ['ERR_LOCK_HELD', 'ERR_LEASE_NOT_FOUND'] },
    signal,
  );
  if (answer.type !== 'told') {
    const fail = answer.type === 'fail' ? { fail: true } : {};
    operations.push({ op: 'acquire', input: null, output: null, call: acquired, return: null, ...fail });
    return nothing;
  }
  const token = answer.code === null ? Number(answer.body['token']) : null;
  if (token === null) {
    const waited = waitMs > 0 ? { return: null, waited: true as const } : { return: nowUs() };
    operations.push({ op: 'acquire', input: null, output: null, call: acquired, ...waited });
    return nothing;
  }
  operations.push({ op: 'acquire', input: null, output: token, call: acquired, return: nowUs() });

  /** Certainly held before this. */
  let fence = acquired + ttlMs * 1000;
  let prevented = 0;
  const isLate = (): boolean => nowUs() >= fence;
  for (let write = 0; write < task.writes; write++) {
    if (isLate()) {
      prevented = 1;
      break;
    }
    const call = nowUs();
    const output = await writeTo(task.resource, task.lock, token, holder);
    operations.push({ op: 'write', input: token, output, call, return: output === null ? null : nowUs() });
    if (output === false) break;

    const guarded = nowUs();
    const txn = {
      if: [{ lock: task.lock, target: 'token', op: '=', value: token }],
      then: [{ put: { key: `${task.lock}/guarded`, value: `${token} ${holder} ${write}` } }],
    };
    const done = await client.insist(target, { method: 'POST', path: '/v1/txn', json: txn }, signal);
    if (done.type === 'told') {
      if (done.body['succeeded'] === true) {
        operations.push({ op: 'query', input: null, output: token, call: guarded, return: nowUs() });
      } else if (!isLate())
        wrong.push(`a transaction guarded by token ${token} of ${task.lock} was refused in its time`);
    }

    const renewed = nowUs();
    const renewal = { method: 'POST', path: `${path}/renew`, json: { token }, answers: ['ERR_LOCK_LOST'] } as const;
    const kept = await client.ask(target, renewal, signal);
    if (kept.type === 'told' && kept.code === null) fence = renewed + ttlMs * 1000;
    else if (kept.type === 'told') {
      if (!isLate()) wrong.push(`${task.lock} with token ${token} was lost before its time`);
      break;
    }
    await delay(task.betweenMs);
  }

  const released = nowUs();
  const release = { method: 'POST', path: `${path}/release`, json: { token } } as const;
  const given = await client.insist(target, release, signal);
  const output = given.type === 'told' ? given.body['released'] === true : null;
  if (output === false && !isLate()) wrong.push(`${task.lock} with token ${token} was gone before its time`);
  operations.push({ op: 'release', input: token, output, call: released, return: output === null ? null : nowUs() });
  return { operations, acquired: true, prevented, lost: prevented > 0, wrong };
}

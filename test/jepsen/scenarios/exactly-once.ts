import { callNode } from '../http-client.ts';
import type { RealNode } from '../lab-node.ts';
import { PersistentClient, type Request, type Told } from '../persistent-client.ts';
import type { LabNode } from '../types.ts';
import { fill } from './filler.ts';
import type { Scenario } from './scenario.ts';
import { everywhere } from './scenario.ts';
import type { Stage } from './stage.ts';

const WRITES = 30;
const ROUNDS = 3;
/** Of a first attempt: some are over before the node has read the request, some when it is committed. */
const MAX_PATIENCE_MS = 40;
const LOST_WITHIN_MS = 2000;
const COUNTER = '/v1/counters/once';
const LOCK = '/v1/locks/once';
const SESSION_TTL = '10m';
const SNAPSHOT_TIMEOUT_MS = 20_000;

interface Write {
  readonly name: string;
  readonly method: 'PUT' | 'POST';
  readonly path: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What it was answered, without what is of the answer's own time. */
  told: string | null;
}

/** Raft thesis, §6.3: what was sent again is answered from what was kept, whoever leads, whatever was restored or restarted. */
export const exactlyOnce: Scenario = {
  number: 9,
  name: 'exactly-once',
  about:
    'writes whose clients have given up are sent again after a leader change, to a leader that was restored from a snapshot, and after a restart of all: each was made once',
  args: ['--log-keep-bytes', String(256 * 1024)],
  probe: everywhere,
  async run(stage) {
    const { lab, chance } = stage;
    stage.startLoad({ rate: 100, workloads: ['register', 'increments'] });
    const client = new PersistentClient(lab.nodes);
    const session = await openSession(stage, client);
    const writes: Write[] = [];
    let answered = 0;
    let made = 0;
    for (let round = 1; round <= ROUNDS; round++) {
      const leader = await stage.leader();
      const some = Array.from({ length: WRITES }, (_, index) => writeOf(writes.length + index + 1, session));
      writes.push(...some);
      // Half of the clients give up within moments, the others go before they have read the answer.
      const first = some.map(async (write, index) => {
        return await attempt(leader, write, index % 2 === 0 ? chance.between(0, MAX_PATIENCE_MS) : LOST_WITHIN_MS);
      });
      await Promise.any(first.map(async (made) => (await made) || (await Promise.reject(new Error('not answered')))));
      // The leader is gone or stands still while the rest is on its way.
      await stage.pause(chance.between(0, 5));
      if (round % 2 === 0) leader.pause();
      else await leader.kill('SIGKILL');
      answered += (await Promise.all(first)).filter((made) => made).length;
      const next = await stage.leaderOtherThan(leader);
      const replayed = await again(stage, client, next, some);
      made += replayed;
      stage.say(
        `round ${round}: ${leader.name} was ${round % 2 === 0 ? 'paused' : 'killed'}, ${next.name} led: ${replayed} of ${WRITES} had been made`,
      );
      if (leader.paused) leader.resume();
      else leader.start();
      await stage.whole();
    }
    stage.say(
      `${made} of ${writes.length} had been made by a first attempt, ${answered} answers were on their way back`,
    );
    stage.needs(made > 0 && made < writes.length, 'some writes had been made by the first attempt, some not');
    await madeOnce(stage, client, writes, 'after leader changes');

    const token = await acquired(stage, client, session);
    const restored = await behindSnapshot(stage);
    await stage.transferTo(restored);
    await holds(stage, client, restored, session, token);
    const byRestored = await again(stage, client, restored, writes);
    stage.must(
      byRestored === writes.length,
      `${restored.name}, restored from a snapshot, leads and answers all ${writes.length} from what was kept`,
    );
    await madeOnce(stage, client, writes, 'after the snapshot');

    await Promise.all(lab.nodes.map(async (node) => await node.kill('SIGKILL')));
    await lab.startAll();
    const byRestarted = await again(stage, client, await stage.leader(), writes);
    stage.must(
      byRestarted === writes.length,
      `after a restart of all nodes all ${writes.length} are answered from what was kept`,
    );
    await madeOnce(stage, client, writes, 'after the restart');
  },
};

async function openSession(stage: Stage, client: PersistentClient): Promise<string> {
  const node = await stage.leader();
  const grant = { method: 'POST', path: '/v1/leases', json: { ttl: SESSION_TTL } } as const;
  const answer = await client.insist(node, grant, stage.lab.signal);
  if (answer.type !== 'told') throw new Error(`no session: ${answer.error}`);
  return String(answer.body['id']);
}

/** A third adds to a counter, a third puts, a third creates; half by key, half numbered by the session. */
function writeOf(number: number, session: string): Write {
  const once: Record<string, string> =
    number % 2 === 0
      ? { 'idempotency-key': `story-${number}` }
      : { 'kvorum-session': session, 'kvorum-sequence': String(number) };
  const name = `once/${number}`;
  if (number % 3 === 0) {
    const headers = { 'content-type': 'application/json', ...once };
    return { name, method: 'POST', path: `${COUNTER}/add`, body: '{"delta":1}', headers, told: null };
  }
  const condition: Record<string, string> = number % 3 === 1 ? { 'if-none-match': '*' } : {};
  return {
    name,
    method: 'PUT',
    path: `/v1/kv/${name}`,
    body: name,
    headers: { 'content-type': 'text/plain', ...once, ...condition },
    told: null,
  };
}

/** True when it was answered, which is not looked at. */
async function attempt(target: LabNode, write: Write, deadlineMs: number): Promise<boolean> {
  const { method, path, body, headers } = write;
  const answer = await callNode(target.url, { method, path, body, headers, deadlineMs });
  return answer.type === 'answer' && answer.status === 200;
}

/** Sends all once more, until they are answered. How many had been made before. */
async function again(
  stage: Stage,
  client: PersistentClient,
  first: RealNode,
  writes: readonly Write[],
): Promise<number> {
  const answers = await Promise.all(
    writes.map(async (write): Promise<Told> => {
      const { method, path, body, headers } = write;
      return await stage.until(async () => {
        const answer = await client.ask(first, { method, path, text: body, headers }, stage.lab.signal);
        return answer.type === 'told' ? answer : null;
      }, `an answer for ${write.name}`);
    }),
  );
  const changed: string[] = [];
  for (const [index, { body }] of answers.entries()) {
    const write = writes[index];
    const told = JSON.stringify(body);
    if (write !== undefined && (write.told ??= told) !== told)
      changed.push(`${write.name}: ${write.told}, then ${told}`);
  }
  stage.must(
    changed.length === 0,
    `every repetition is answered as before${changed.length === 0 ? '' : `; ${changed[0]}`}`,
  );
  return answers.filter(({ headers }) => headers['idempotency-replayed'] === 'true').length;
}

async function madeOnce(stage: Stage, client: PersistentClient, writes: readonly Write[], when: string): Promise<void> {
  const additions = writes.filter(({ method }) => method === 'POST').length;
  const node = await stage.leader();
  const sum = await stage.until(async () => {
    const answer = await client.ask(node, { method: 'GET', path: COUNTER }, stage.lab.signal);
    return answer.type === 'told' ? { value: answer.body['value'] } : null;
  }, 'the counter');
  stage.must(sum.value === additions, `${when} the counter is ${String(sum.value)} after ${additions} additions`);
  let once = 0;
  const puts = writes.filter(({ method }) => method === 'PUT');
  for (const { name, path } of puts) {
    const version = await stage.until(async () => {
      const answer = await client.ask(node, { method: 'GET', path }, stage.lab.signal);
      return answer.type === 'told' ? String(answer.headers['x-version']) : null;
    }, name);
    if (version === '1') once++;
  }
  stage.must(once === puts.length, `${when} ${once} of ${puts.length} keys were put once`);
}

/** A lock on the session, whose token the snapshot has to bring. */
async function acquired(stage: Stage, client: PersistentClient, session: string): Promise<number> {
  const acquire: Request = { method: 'POST', path: `${LOCK}/acquire`, json: { lease: session } };
  const answer = await client.insist(await stage.leader(), acquire, stage.lab.signal);
  if (answer.type !== 'told') throw new Error(`no lock: ${answer.error}`);
  return Number(answer.body['token']);
}

async function holds(
  stage: Stage,
  client: PersistentClient,
  restored: RealNode,
  session: string,
  token: number,
): Promise<void> {
  const looked = await stage.until(async () => {
    const answer = await client.ask(restored, { method: 'GET', path: LOCK }, stage.lab.signal);
    return answer.type === 'told' ? answer : null;
  }, 'the lock');
  const [holder] = looked.body['holders'] as readonly { readonly token: number; readonly lease: string }[];
  stage.must(
    holder?.token === token && holder.lease === session,
    `${restored.name}, restored from a snapshot, knows the lock's holder by token ${token}, and its lease`,
  );
  const release: Request = { method: 'POST', path: `${LOCK}/release`, json: { token } };
  await client.insist(restored, release, stage.lab.signal);
  const next = await acquired(stage, client, session);
  stage.must(next > token, `the next token, ${next}, is larger`);
}

/** A follower that was away until the log it needs was gone. */
async function behindSnapshot(stage: Stage): Promise<RealNode> {
  const leader = await stage.leader();
  const away = stage.chance.pick(stage.followers(leader));
  const had = (await stage.metric(away, 'kvorum_raft_last_index')) ?? 0;
  await away.kill('SIGKILL');
  await fill(stage, leader);
  await stage.until(async () => {
    const first = await stage.metric(await stage.leader(), 'kvorum_raft_first_index');
    return first !== null && first > had + 1;
  }, 'the log that the follower needs is compacted');
  away.start();
  await away.ready();
  const restored = async (): Promise<boolean> => ((await stage.metric(away, 'kvorum_raft_first_index')) ?? 0) > had;
  stage.needs(await stage.comes(restored, SNAPSHOT_TIMEOUT_MS), `${away.name} came back by a snapshot`);
  await stage.whole();
  return away;
}

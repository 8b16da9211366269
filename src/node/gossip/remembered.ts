/**
 * Members that this node remembers over a restart, so that it finds the others when all its contacts have moved: what they said of themselves last, signed. Kept in the node's
 * records, unsynced and at most every few seconds: losing the last of it only makes it forget.
 */
import type { AliveStatement, GossipMessage, Member, MemberState } from '../../gossip/index.ts';
import { LIMITS } from '../../gossip/index.ts';
import type { Store } from '../../storage/types.ts';
import { decodeGossip, encodeGossip } from './frames.ts';

const RECORD = 'gossip/members';

/** Some 100 KiB at the usual size of a statement. */
export const MAX_REMEMBERED = 256;

const ORDER: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 };

/** What is not a member is left out: it was unsynced, and the others will say it again. */
export function loadRemembered(store: Store): AliveStatement[] {
  const stored = store.node.get(RECORD);
  const known: AliveStatement[] = [];
  for (const frame of Array.isArray(stored) ? (stored as unknown[]) : []) {
    if (!(frame instanceof Uint8Array)) continue;
    const message: GossipMessage | null = decodeGossip(frame, () => undefined);
    if (message?.type !== 'sync') continue;
    for (const statement of message.statements) if (statement.kind === 'alive') known.push(statement);
  }
  return known.slice(0, MAX_REMEMBERED);
}

/** For the next commit. Those who live first; who left is not looked for again. */
export function stageRemembered(store: Store, members: readonly Member[]): void {
  const statements = members
    .filter(({ state }) => state !== 'left')
    .toSorted((a, b) => ORDER[a.state] - ORDER[b.state])
    .slice(0, MAX_REMEMBERED)
    .map(({ statement }) => statement);
  const frames: Uint8Array[] = [];
  for (let at = 0; at < statements.length; at += LIMITS.syncStatements) {
    const part = statements.slice(at, at + LIMITS.syncStatements);
    for (const parts of encodeGossip({ type: 'sync', answer: false, statements: part })) {
      frames.push(Uint8Array.from(Buffer.concat(parts)));
    }
  }
  store.node.set(RECORD, frames);
}

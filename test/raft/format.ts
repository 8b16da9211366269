/** How scenario scripts and traces spell what happens. Every line is short, and a human reads the diff of all of them. */
import { decodeConfiguration } from '../../src/raft/configuration.ts';
import type {
  Configuration,
  Entry,
  HardState,
  Message,
  ProgressStatus,
  RaftOptions,
  RaftStatus,
  Ready,
} from '../../src/raft/types.ts';
import type { Packet } from '../sim/host.ts';

const text = new TextDecoder();

export function formatEntry(entry: Entry): string {
  const at = `${entry.term}/${entry.index}`;
  if (entry.kind === 'config') return `${at} config(${formatConfiguration(decodeConfiguration(entry.data))})`;
  if (entry.kind === 'noop') return `${at} noop`;
  return entry.data.length > 24 ? `${at} <${entry.data.length} B>` : `${at} "${text.decode(entry.data)}"`;
}

export function formatEntries(entries: readonly Entry[]): string {
  const first = entries[0];
  const last = entries.at(-1);
  if (first !== undefined && last !== undefined && entries.length > 8) {
    return `[${formatEntry(first)} … ${formatEntry(last)}, ${entries.length} in all]`;
  }
  return `[${entries.map(formatEntry).join(', ')}]`;
}

export function formatMessage(message: Message): string {
  const head = (type: string): string => `${message.from}->${message.to} ${type} term:${message.term}`;
  switch (message.type) {
    case 'VoteRequest': {
      const type = message.preVote ? 'PreVoteRequest' : 'VoteRequest';
      return `${head(type)} last:${message.lastTerm}/${message.lastIndex}${message.transfer ? ' transfer' : ''}`;
    }
    case 'VoteResponse':
      return `${head(message.preVote ? 'PreVoteResponse' : 'VoteResponse')} ${message.granted ? 'granted' : 'refused'}`;
    case 'Append': {
      const at = `prev:${message.prevTerm}/${message.prevIndex} commit:${message.commit}`;
      return `${head('Append')} ${at} entries:${formatEntries(message.entries)}`;
    }
    case 'AppendResponse':
      return message.rejected
        ? `${head('AppendResponse')} refused:${message.index} hint:${message.hintTerm}/${message.hintIndex}`
        : `${head('AppendResponse')} index:${message.index}`;
    case 'Heartbeat':
      return `${head('Heartbeat')} commit:${message.commit} round:${message.round}`;
    case 'HeartbeatResponse':
      return `${head('HeartbeatResponse')} round:${message.round}`;
    case 'ReadIndexRequest':
      return `${head('ReadIndexRequest')} boot:${message.bootEpoch} token:${message.token}`;
    case 'ReadIndexResponse':
      return `${head('ReadIndexResponse')} boot:${message.bootEpoch} token:${message.token} index:${message.index ?? 'refused'}`;
    case 'InstallSnapshot':
      return `${head('InstallSnapshot')} snapshot:${message.snapshot.term}/${message.snapshot.index}`;
    case 'TimeoutNow':
      return head('TimeoutNow');
  }
}

export function formatPacket(packet: Packet): string {
  if (packet.kind === 'message') return formatMessage(packet.message);
  return `${packet.from}->${packet.to} Snapshot term:${packet.term} covers:${packet.meta.term}/${packet.meta.index}`;
}

export function formatHardState(hardState: HardState): string {
  return `term:${hardState.term} vote:${hardState.vote ?? '-'} commit:${hardState.commit}`;
}

export function formatConfiguration(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  const parts = [`voters:${voters.join(',')}`];
  if (votersOutgoing.length > 0) parts.push(`outgoing:${votersOutgoing.join(',')}`);
  if (learners.length > 0) parts.push(`learners:${learners.join(',')}`);
  if (learnersNext.length > 0) parts.push(`learnersNext:${learnersNext.join(',')}`);
  if (autoLeave) parts.push('autoLeave');
  if (configuration.context !== undefined) parts.push(`context:${JSON.stringify(configuration.context)}`);
  return parts.join(' ');
}

/** The lines of a Ready; with `messages`, also what it sends now and what it owes after the persist. */
export function formatReady(id: string, ready: Ready, messages: boolean): string[] {
  const lines: string[] = [];
  if (ready.softState !== null) {
    lines.push(`${id} is ${ready.softState.role}, leader ${ready.softState.leader ?? '-'}`);
  }
  const writes: string[] = [];
  if (ready.hardState !== null) writes.push(formatHardState(ready.hardState));
  if (ready.snapshot !== null) writes.push(`snapshot:${ready.snapshot.term}/${ready.snapshot.index}`);
  if (ready.entries.length > 0) writes.push(`entries:${formatEntries(ready.entries)}`);
  for (const { index, configuration } of ready.configurations ?? []) {
    writes.push(`configuration@${index}:(${formatConfiguration(configuration)})`);
  }
  if (writes.length > 0) lines.push(`${id} writes${ready.mustSync ? ' and syncs' : ''} ${writes.join(' ')}`);
  for (const { to, term } of ready.snapshotRequests) lines.push(`${id} streams a snapshot to ${to} term:${term}`);
  if (messages) {
    for (const message of ready.messages) lines.push(`sends ${formatMessage(message)}`);
    for (const message of ready.messagesAfterPersist) lines.push(`owes ${formatMessage(message)}`);
  }
  return lines;
}

export function formatStatus(status: RaftStatus, options: RaftOptions): string[] {
  const { id, role, term, vote, leader, commit, applied, firstIndex, lastIndex, persistedIndex } = status;
  const lines = [
    `${id}: ${role} term=${term} vote=${vote ?? '-'} leader=${leader ?? '-'} log=${firstIndex}..${lastIndex} ` +
      `persisted=${persistedIndex} commit=${commit} applied=${applied} uncommitted=${status.uncommittedBytes}B`,
  ];
  for (const peer of status.progress) lines.push(formatProgress(peer, options));
  return lines;
}

function formatProgress(peer: ProgressStatus, options: RaftOptions): string {
  const full = peer.inflightMessages >= options.maxInflightMessages || peer.inflightBytes >= options.maxInflightBytes;
  const inflight = peer.inflightMessages > 0 ? ` inflight=${peer.inflightMessages}${full ? '[full]' : ''}` : '';
  return `${peer.id}: ${peer.state} match=${peer.match} next=${peer.next}${inflight}${peer.active ? '' : ' silent'}${peer.removed ? ' removed' : ''}`;
}

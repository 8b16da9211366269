/** The node's metrics, read from live state when they are scraped: nothing is counted on a hot path for them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Store } from '../storage/types.ts';
import type { Transport } from '../transport/types.ts';
import type { RemoteServer } from './remote/server.ts';
import type { Replica } from './replica.ts';
import type { Services } from './services.ts';

export interface MetricsSources {
  readonly remote: RemoteServer;
  readonly replica: Replica;
  readonly services: Services;
  readonly store: Store;
  readonly transport: Transport;
}

/** Registers Kvorum's metrics, all named `kvorum_…`, in `registry`. */
export function registerMetrics(registry: Registry, sources: MetricsSources): void {
  const { replica, services, store, transport, remote } = sources;
  const group = String(replica.group);
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number): void => {
    const metric: Gauge = new Gauge({
      name,
      help,
      labelNames: ['group'],
      registers,
      collect: () => metric.set({ group }, value()),
    });
  };
  const status = () => replica.core.status();
  gauge('kvorum_raft_term', 'Current term.', () => status().term);
  gauge('kvorum_raft_is_leader', '1 on the leader.', () => (replica.softState.role === 'leader' ? 1 : 0));
  gauge('kvorum_raft_has_leader', '1 while a leader is known.', () => (replica.softState.leader === null ? 0 : 1));
  gauge('kvorum_raft_commit_index', 'Highest index known to be committed.', () => status().commit);
  gauge('kvorum_raft_applied_index', 'Highest index applied to the state machine.', () => replica.machine.appliedIndex);
  gauge('kvorum_raft_first_index', 'First index still in the log.', () => status().firstIndex);
  gauge('kvorum_raft_last_index', 'Last index in the log.', () => status().lastIndex);
  gauge('kvorum_raft_uncommitted_bytes', 'Bytes proposed and not yet committed.', () => status().uncommittedBytes);
  gauge('kvorum_proposals_pending', 'Writes that wait for an answer.', () => replica.pendingProposals);
  gauge('kvorum_reads_pending', 'Linearizable reads that wait for an answer.', () => replica.pendingReads);
  gauge('kvorum_snapshots_active', 'Snapshots being sent or received.', () => replica.activeSnapshots);
  gauge('kvorum_kv_revision', 'Revision of the store.', () => replica.machine.revision);
  gauge('kvorum_kv_keys', 'Keys in the store.', () => replica.machine.kv.keyCount);
  const kv = () => replica.machine.kv;
  const coordinator = () => replica.machine.coordinator;
  gauge('kvorum_kv_bytes', 'Bytes of keys, values and history that count towards the quota.', () => kv().bytes);
  gauge('kvorum_kv_quota_bytes', 'Quota of the store, 0 for none.', () => kv().settings.quotaBytes);
  gauge('kvorum_kv_compacted_revision', 'The oldest revision that can be read.', () => kv().compactedRevision);
  gauge('kvorum_leases', 'Leases there are.', () => coordinator().leaseCount);
  gauge('kvorum_lock_waits', 'Callers that wait on this node to be let in.', () => services.lockWaits);
  gauge('kvorum_watches', 'Watches open on this node.', () => services.watches.count);
  gauge('kvorum_once_keys', 'Idempotency keys remembered.', () => coordinator().once.keyCount);
  gauge('kvorum_once_sessions', 'Sessions with remembered writes.', () => coordinator().once.sessionCount);
  gauge('kvorum_once_bytes', 'Bytes of remembered results.', () => coordinator().once.bytes);
  gauge('kvorum_clients', 'Clients connected to the peer port.', () => remote.size);
  gauge('kvorum_client_streams', 'Watches and observations of these clients.', () => remote.streams);
  gauge('kvorum_log_bytes', 'Bytes of log entries kept.', () => store.group(replica.group).log.bytes);
  gauge(
    'kvorum_overlay_bytes',
    'Bytes applied and not yet flushed to disk.',
    () => store.group(replica.group).state.overlayBytes,
  );

  const total = (name: string, help: string, value: () => number): void => {
    const metric: Counter = new Counter({
      name,
      help,
      registers,
      collect: () => {
        metric.reset();
        metric.inc(value());
      },
    });
  };
  total('kvorum_store_batches_total', 'Batches written to the store.', () => store.stats().batches);
  total('kvorum_store_synced_batches_total', 'Batches written with an fsync.', () => store.stats().syncedBatches);
  total('kvorum_store_written_bytes_total', 'Bytes written to the store.', () => store.stats().bytesWritten);
  const lastSync: Gauge = new Gauge({
    name: 'kvorum_store_last_sync_seconds',
    help: 'Duration of the last synced batch.',
    registers,
    collect: () => lastSync.set(store.stats().lastSyncMs / 1000),
  });
  total(
    'kvorum_peer_malformed_total',
    'Links closed for bytes that are not our protocol.',
    () => transport.stats().malformed,
  );
  const refused: Counter = new Counter({
    name: 'kvorum_peer_refused_total',
    help: 'Peers refused at admission, by code.',
    labelNames: ['code'],
    registers,
    collect: () => {
      refused.reset();
      for (const [code, count] of Object.entries(transport.stats().refused)) refused.inc({ code }, count);
    },
  });
  const perPeer = (
    name: string,
    help: string,
    pick: (peer: ReturnType<Transport['stats']>['peers'][number]) => number,
  ) => {
    const metric: Counter = new Counter({
      name,
      help,
      labelNames: ['peer'],
      registers,
      collect: () => {
        metric.reset();
        for (const peer of transport.stats().peers) metric.inc({ peer: peer.id }, pick(peer));
      },
    });
  };
  perPeer('kvorum_peer_frames_sent_total', 'Frames sent.', (peer) => peer.framesSent);
  perPeer('kvorum_peer_frames_received_total', 'Frames received.', (peer) => peer.framesReceived);
  perPeer('kvorum_peer_sent_bytes_total', 'Bytes sent.', (peer) => peer.bytesSent);
  perPeer('kvorum_peer_received_bytes_total', 'Bytes received.', (peer) => peer.bytesReceived);
  perPeer('kvorum_peer_frames_dropped_total', 'Frames dropped because a queue was full.', (peer) => peer.framesDropped);
  const queued: Gauge = new Gauge({
    name: 'kvorum_peer_queued_bytes',
    help: 'Bytes queued for a peer.',
    labelNames: ['peer'],
    registers,
    collect: () => {
      queued.reset();
      for (const peer of transport.stats().peers) queued.set({ peer: peer.id }, peer.queuedBytes);
    },
  });
}

/** Who a frame is for, and who is told that a peer came or went: the one place that knows members, agents, callers and those who are about to join apart. */
import { KvorumError } from '../errors.ts';
import type { NodeId } from '../raft/types.ts';
import type { Channel, PeerCredential, PeerEvent, Transport } from '../transport/types.ts';
import { isAgent, type AgentGate } from './agents.ts';
import { dropStranger, isOfAnother, type Entrance } from './entrance.ts';
import { decodeAnswers, decodePropose, decodeStored, FRAME } from './forwarding.ts';
import type { Joined } from './joined.ts';
import type { LinkPool } from './links.ts';
import { isClient, type RemoteServer } from './remote/server.ts';
import type { Logger } from './types.ts';

/** What a peer said of itself when it was last here. */
export interface Seen {
  readonly address: string;
  readonly http: string;
  readonly pid: number;
}

export interface PeerDispatcherOptions {
  /** Of this node. */
  readonly name: string;
  readonly logger: Logger;
  readonly entrance: Entrance;
  readonly agents: AgentGate;
  /** Callers that are no members. */
  readonly remote: RemoteServer;
  /** Members that were here; what is written here is read elsewhere. */
  readonly seen: Map<NodeId, Seen>;
  readonly transport: () => Pick<Transport, 'drop' | 'hangUpTokenLinks' | 'prepare'>;
  readonly links: () => LinkPool;
  /** Null until the node is in its cluster. */
  readonly joined: () => Joined | null;
  /** The node has stopped by itself. */
  readonly hasFailed: () => boolean;
  /** Stops the node. */
  readonly fail: (error: KvorumError) => void;
}

export class PeerDispatcher {
  readonly #options: PeerDispatcherOptions;

  constructor(options: PeerDispatcherOptions) {
    this.#options = options;
  }

  frame(from: NodeId, channel: Channel, frame: Uint8Array, credential: PeerCredential): void {
    const { agents, entrance, links, remote, transport } = this.#options;
    // Over a link that a ticket opened one may ask to be let in, and nothing else.
    if (credential.type === 'token' && !(channel === 'client' && frame[0] === FRAME.join)) {
      // Who speaks as a member has the secret by now: its next link is one by that. This one is left from before, and nobody would hear it.
      if (channel !== 'client') transport().hangUpTokenLinks(from);
      return;
    }
    links().heard(from);
    // An agent calls, and is a peer besides.
    const calls = !agents.has(from) || (channel === 'client' && frame[0] === FRAME.requests);
    if (calls && remote.has(from)) return remote.frame(from, channel, frame);
    if (entrance.frame(from, channel, frame)) return;
    const joined = this.#options.joined();
    // A peer that joined earlier may speak of the group before this node has opened it: it will say it again.
    if (joined === null || this.#options.hasFailed()) return;
    if (!agents.passes(from, channel) || joined.liveness.frame(from, channel, frame)) return;
    const { replica, transfer, members, notes } = joined;
    switch (channel) {
      case 'raft':
        return replica.raftFrame(from, frame);
      case 'snapshot':
        return replica.snapshotFrame(from, frame);
      case 'client':
        if (frame[0] === FRAME.propose) return replica.proposeFrame(from, decodePropose(frame));
        if (frame[0] === FRAME.proposeResult) return replica.resultFrame(from, decodeAnswers(frame));
        if (frame[0] === FRAME.stored) return notes.stored(from, decodeStored(frame));
        if (transfer.frame(from, frame) || members.frame(from, frame)) return;
        throw new KvorumError('ERR_INVALID_ARGUMENT', `a client frame of unknown kind ${frame[0] ?? 'none'}`);
      default:
        throw new KvorumError('ERR_INVALID_ARGUMENT', `this version does not speak on the ${channel} channel`);
    }
  }

  peer(event: PeerEvent): void {
    const { entrance, links, logger, name, remote, seen, transport } = this.#options;
    const hello = event.type === 'refused' ? event.hello : event.peer.hello;
    if (hello !== null && isClient(hello)) return this.#client(event);
    entrance.peer(event);
    if (event.type === 'refused') return this.#refused(event);
    const { peer } = event;
    const clusterId = entrance.bootstrap.map?.clusterId ?? null;
    if (event.type === 'up' && isOfAnother(peer.hello, clusterId)) {
      return dropStranger(transport(), peer.id, peer.hello, clusterId);
    }
    const joined = this.#options.joined();
    joined?.notes.linkChanged(peer.id);
    const { address, hello: said } = peer;
    // There is no end of agents, and gossip tells of them; their links come and go as they are used.
    const isPassing = isAgent(said);
    if (!isPassing && said.clusterId !== null) seen.set(peer.id, { address, http: said.http, pid: said.pid });
    const fields = { node: name, peer: peer.name, address };
    switch (event.type) {
      case 'up':
        logger[isPassing ? 'debug' : 'info'](fields, 'peer is up');
        links().up(peer);
        if (isPassing) remote.up(peer, 'agent');
        // Followers have nothing to tell each other until they elect, and then each millisecond counts.
        else transport().prepare(peer.id, 'raft');
        joined?.liveness.peerUp(peer);
        return;
      case 'down':
        logger[isPassing ? 'debug' : 'warn'](fields, 'the link to a peer closed');
        joined?.replica.peerDown(peer.id);
        joined?.transfer.peerDown(peer.id);
        joined?.members.peerDown(peer.id);
        links().down(peer.id);
        remote.down(peer.id);
        joined?.liveness.changed();
        return;
      case 'lost':
        logger.warn(fields, 'the process of a peer is gone');
        joined?.replica.peerLost(peer.id);
    }
  }

  #client(event: PeerEvent): void {
    const { logger, name: node, remote } = this.#options;
    if (event.type === 'refused') {
      logger.info({ node, code: event.code, by: event.by }, `a client was not let in: ${event.message}`);
    } else if (event.type === 'up') remote.up(event.peer, 'client');
    else remote.down(event.peer.id);
  }

  /** A member that its peers do not take for itself (its disk is an old copy, or another has its name) must not go on. */
  #refused(event: Extract<PeerEvent, { type: 'refused' }>): void {
    const { fail, joined, logger, name } = this.#options;
    logger.warn({ node: name, address: event.address, code: event.code, by: event.by }, event.message);
    const cluster = joined();
    if (event.by !== 'them' || cluster === null) return;
    // Only a member's word counts: another cluster may have the same secret, and a member of ours may have been wiped.
    const { clusterId, replica } = cluster;
    const { hello } = event;
    if (hello === null || hello.clusterId !== clusterId) return;
    // Who was removed may know none of those that are members by now: all may have been replaced meanwhile.
    const known = replica.machine.members.some(({ peerId }) => peerId === hello.peerId);
    if (!known && event.code !== 'ERR_MEMBER_REMOVED') return;
    const { code } = event;
    if (code === 'ERR_MEMBER_REPLACED' || code === 'ERR_WRONG_CLUSTER' || code === 'ERR_MEMBER_REMOVED') {
      fail(new KvorumError(code, event.message));
    }
  }
}

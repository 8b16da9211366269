/**
 * Frames of a node that joins a running cluster: it asks any member to have it added, and is told what it needs to be one. On the `client` channel of an admitted
 * link; who asks is who the link belongs to, so nobody can be joined by another.
 */
import type { KvorumError } from '../errors.ts';
import { isAddress } from '../transport/address.ts';
import type { Hello, JoinRole } from '../transport/types.ts';
import type { MemberRecord } from '../machine/types.ts';
import type { ClusterMap } from './cluster-map.ts';
import { parseClusterMap } from './cluster-map.ts';
import { decodeError, FRAME, isCount, malformedFrame, packFrame, unpackBody } from './forwarding.ts';

export type { JoinRole } from '../transport/types.ts';

export function isJoinRole(value: unknown): value is JoinRole {
  return value === 'voter' || value === 'learner' || value === 'agent';
}

/** What a node that wants to join says of it in its Hello (`extra.join`); null for one that does not. */
export function joinRoleOf(hello: Hello): JoinRole | null {
  const { join, role } = hello.extra;
  // Tickets are judged by `role`: who says two things says nothing.
  return isJoinRole(join) && join === role ? join : null;
}

export interface JoinFrame {
  readonly bootEpoch: number;
  readonly request: number;
  readonly timeoutMs: number;
  readonly role: JoinRole;
  /** Id or name of the member whose place it takes. */
  readonly replaces: string | null;
}

/** What a node has to know before it can be a peer by itself. */
export interface Invitation {
  /** The first members: their hash is the cluster id. */
  readonly map: ClusterMap;
  readonly secret: string;
}

/** The answer; with neither error nor invitation the word that it is being worked on. */
export interface JoinedFrame {
  readonly bootEpoch: number;
  readonly request: number;
  /** Peer addresses of the members of now, for one that may hear of them. Those who were asked first may be replaced by others before they answer. */
  readonly contacts: readonly string[];
  readonly error: KvorumError | null;
  readonly invitation: Invitation | null;
}

const MAX_CONTACTS = 100;
const MAX_TEXT = 300;
const MAX_SECRET = 4096;

export function encodeJoin({ bootEpoch, request, timeoutMs, role, replaces }: JoinFrame): Uint8Array[] {
  return packFrame(FRAME.join, [bootEpoch, request, Math.max(0, Math.ceil(timeoutMs)), role, replaces]);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function decodeJoin(bytes: Uint8Array): JoinFrame {
  const [bootEpoch, request, timeoutMs, role, replaces] = unpackBody(bytes, 'join');
  if (!isCount(bootEpoch) || !isCount(request) || !isCount(timeoutMs) || !isJoinRole(role))
    throw malformedFrame('join');
  if (replaces !== null && (typeof replaces !== 'string' || replaces.length > MAX_TEXT)) throw malformedFrame('join');
  return { bootEpoch, request, timeoutMs, role, replaces };
}

export function encodeJoined({ bootEpoch, request, contacts, error, invitation }: JoinedFrame): Uint8Array[] {
  return packFrame(FRAME.joined, [
    bootEpoch,
    request,
    contacts.slice(0, MAX_CONTACTS),
    error === null ? null : [error.code, error.message, error.outcome, error.details],
    invitation === null
      ? null
      : [
          invitation.map.clusterId,
          invitation.map.members.map(({ id, name, peerId, address }) => ({ id, name, peerId, address })),
          invitation.secret,
        ],
  ]);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function decodeJoined(bytes: Uint8Array): JoinedFrame {
  const [bootEpoch, request, contacts, error, given] = unpackBody(bytes, 'joined');
  if (!isCount(bootEpoch) || !isCount(request) || !isContacts(contacts)) throw malformedFrame('joined');
  const told = { bootEpoch, request, contacts };
  if (Array.isArray(error)) return { ...told, error: decodeError(error), invitation: null };
  if (error === null && given === null) return { ...told, error: null, invitation: null };
  if (!Array.isArray(given)) throw malformedFrame('joined');
  const [clusterId, members, secret] = given as unknown[];
  const map = parseClusterMap({ clusterId, members });
  if (map === undefined || typeof secret !== 'string' || secret.length > MAX_SECRET) throw malformedFrame('joined');
  return { ...told, error: null, invitation: { map, secret } };
}

function isContacts(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > MAX_CONTACTS) return false;
  return value.every((one) => typeof one === 'string' && one.length <= MAX_TEXT && isAddress(one));
}

/** Addresses at which the members are found, this node's own aside. */
export function contactsOf(members: readonly MemberRecord[], ownId: string): string[] {
  return members.filter(({ id }) => id !== ownId).map(({ address }) => address);
}

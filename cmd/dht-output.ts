/** How something was found in the DHT, for people. */
import { printable, table } from './output.ts';

export interface Peer {
  readonly id: string | null;
  readonly name: string;
  readonly peerId: string;
  readonly addresses: readonly string[];
  readonly position: string;
}

export interface Step {
  readonly step: number;
  readonly path: number;
  readonly peer: Peer;
  readonly distance: number;
  readonly asked: string;
  readonly outcome: string;
  readonly contacts: number;
  readonly fresh: number;
  readonly records: number;
  readonly rttMs: number;
}

/** As the HTTP API gives it. */
export interface Search {
  readonly target: string;
  readonly outcome: string;
  readonly cost: {
    readonly requests: number;
    readonly failures: number;
    readonly hops: number;
    readonly elapsedMs: number;
  };
  readonly closest: readonly Peer[];
  readonly steps?: readonly Step[];
}

/** Digits of a position that tell nodes apart in any network that there is. */
const POSITION_DIGITS = 16;

export function tableOfSteps(steps: readonly Step[]): string {
  return table(
    ['STEP', 'PATH', 'PEER', 'KEY', 'DISTANCE', 'ASKED', 'OUTCOME', 'CONTACTS', 'FRESH', 'RECORDS', 'MS'],
    steps.map(({ step, path, peer, distance, asked, outcome, contacts, fresh, records, rttMs }) => [
      ...[String(step), String(path), printable(peer.name || peer.peerId), peer.position.slice(0, POSITION_DIGITS)],
      ...[String(distance), asked, outcome, String(contacts), String(fresh), String(records), String(rttMs)],
    ]),
  );
}

export function tableOfPeers(peers: readonly Peer[]): string {
  return table(
    ['NAME', 'ID', 'ADDRESS', 'KEY'],
    peers.map(({ name, id, addresses, position }) => [
      ...[printable(name), id ?? '-', addresses.map(printable).join(',') || '-', position.slice(0, POSITION_DIGITS)],
    ]),
  );
}

export function costOf({ outcome, cost: { requests, failures, hops, elapsedMs } }: Search): string {
  const silent = failures === 0 ? '' : ` (${failures} without an answer)`;
  return `${outcome}: ${counted(requests, 'request')}${silent}, ${counted(hops, 'hop')}, ${elapsedMs} ms`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Both ends of the request protocol in one process: frames are copied, as a network would, and come in another turn. */
import { KvorumError } from '../../../src/errors.ts';
import { Requester } from '../../../src/node/remote/requester.ts';
import { RemoteNode } from '../../../src/node/remote/remote-node.ts';
import { Turns } from '../../../src/node/remote/turns.ts';
import { realEnvironment } from '../../../src/node/env.ts';
import { Session } from '../../../src/node/remote/session.ts';
import type { RemoteTarget } from '../../../src/node/remote/methods.ts';

export interface Wire {
  readonly remote: RemoteNode;
  readonly requester: Requester;
  readonly session: Session;
  /** Frames so far, each way. */
  readonly sent: { requests: number; answers: number };
  /** Nothing more is taken for streams while it is false. */
  room: boolean;
  /** What the node's end threw, which would have closed the link. */
  readonly thrown: unknown[];
  cut(): void;
}

export function wireTo(node: RemoteTarget): Wire {
  const sent = { requests: 0, answers: 0 };
  const thrown: unknown[] = [];
  const turns = new Turns(realEnvironment);
  const deliver = (parts: readonly Uint8Array[], to: (frame: Uint8Array) => void): boolean => {
    const frame = new Uint8Array(Buffer.concat(parts));
    setImmediate(() => {
      try {
        to(frame);
      } catch (error) {
        thrown.push(error);
      }
    });
    return true;
  };
  const requester: Requester = new Requester({
    send: (parts) => {
      sent.requests++;
      return deliver(parts, (frame) => session.frame(frame));
    },
  });
  const session: Session = new Session({
    node,
    send: (parts) => {
      sent.answers++;
      return deliver(parts, (frame) => requester.frame(frame));
    },
    room: () => wire.room,
    overflow: () => wire.cut(),
    later: (task) => turns.later(task),
  });
  const wire: Wire = {
    remote: new RemoteNode(requester),
    requester,
    session,
    sent,
    room: true,
    thrown,
    cut: () => {
      session.close();
      requester.close(new KvorumError('ERR_UNAVAILABLE', 'the wire was cut'));
    },
  };
  return wire;
}

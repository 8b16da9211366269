/** What the bodies of requests may hold: they are parsed by this, and described by it in the OpenAPI document. */
import {
  choiceField,
  durationField,
  flagField,
  idField,
  integerField,
  jsonField,
  objectField,
  required,
  textField,
} from './body.ts';

import {
  MAX_ADDRESS_BYTES,
  MAX_METADATA_BYTES,
  MAX_NOTE_BYTES as MAX_STATUS_NOTE_BYTES,
  MAX_VERSION_BYTES,
  MAX_WEIGHT,
  STATUSES,
} from '../client/services/instance.ts';

export const MIN_TTL_MS = 1000;
export const MAX_TTL_MS = 86_400_000;
export const MAX_WAIT_MS = 60_000;
/** Bytes of an owner (as JSON), and of what an election proclaims. */
export const MAX_NOTE_BYTES = 4096;
/** Bytes of the name of a node, which an id is shorter than. */
const MAX_MEMBER_BYTES = 63;
/** A peer id has 52 characters. */
const MAX_PEER_ID_BYTES = 128;
/** The longest name of a host has 253 characters. */
const MAX_PEER_ADDRESS_BYTES = 261;
const MAX_JOIN_TOKEN_MS = 30 * 86_400_000;

const ttl = durationField('Time to live of the lease unless it is renewed', MIN_TTL_MS, MAX_TTL_MS, '15s');
const owner = jsonField('About who holds it, for whoever looks', MAX_NOTE_BYTES);
const token = integerField('Fencing token of the holder', 1);
const holderLease = idField('Lease of the holder');
const value = textField('What the leader stands for; shown to observers', { maxBytes: MAX_NOTE_BYTES });

export const TRANSFER = {
  to: textField('Name of the new leader; default: the most up-to-date voter', { minBytes: 1 }),
};

const memberName = (description: string) =>
  required(textField(description, { minBytes: 1, maxBytes: MAX_MEMBER_BYTES }));

export const ADD_MEMBER = {
  name: memberName('Its name, unique in the cluster'),
  peerId: required(textField('Its libp2p peer id, base58', { minBytes: 1, maxBytes: MAX_PEER_ID_BYTES })),
  address: required(
    textField('HOST:PORT of its peer port, as the others reach it', { minBytes: 1, maxBytes: MAX_PEER_ADDRESS_BYTES }),
  ),
  role: choiceField('voter: a learner that is made a voter once it has caught up; learner: it stays one', [
    'voter',
    'learner',
  ]),
  replaces: textField('Id or name of the member whose place it takes', { minBytes: 1, maxBytes: MAX_MEMBER_BYTES }),
};

export const REPLACE_MEMBER = { by: memberName('Id or name of the member that takes the place') };

export const JOIN_TOKEN = {
  ttl: durationField('How long it lets nodes in', MIN_TTL_MS, MAX_JOIN_TOKEN_MS, '1h'),
  role: choiceField('As what it lets nodes in; default: as anything', ['voter', 'learner', 'agent']),
};

export const COMPACT = { revision: required(integerField('The oldest revision that stays readable', 1)) };

export const GRANT = { ttl, owner };

/** Of everything that is acquired. */
export const ACQUIRE = {
  lease: idField('A lease that there is. Without one, one is made, which ends with the release'),
  ttl: durationField('Time to live of the lease that is made; not together with lease', MIN_TTL_MS, MAX_TTL_MS, '15s'),
  wait: durationField('How long to stand in the queue; 0 answers at once. At most 60s', 0, MAX_WAIT_MS, '0s'),
  keepPlace: flagField(
    'With lease: when the wait is over the place in the queue is kept while the lease lives; asking again goes on waiting there',
  ),
  owner,
};

export const ACQUIRE_LOCK = {
  ...ACQUIRE,
  mode: choiceField('exclusive and write are the same: shared with nobody; read is shared with read', [
    'exclusive',
    'read',
    'write',
  ]),
  permits: integerField('Makes it a semaphore of so many permits, of which one is taken', 1),
  delay: durationField('How long nobody is let in after a holder was lost', 0, MAX_TTL_MS, '0s'),
};

export const HOLDER = { lease: holderLease, token };

export const CAMPAIGN = { ...ACQUIRE, value };

export const PROCLAIM = { token: required(token), value: required(value) };

export const RESIGN = { token: required(token) };

export const ENTER = { ...ACQUIRE, parties: required(integerField('How many have to enter before all are let in', 1)) };

export const ADD = {
  delta: integerField('What to add; may be negative', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, { default: 1 }),
};

const note = textField('Why it has that status', { maxBytes: MAX_STATUS_NOTE_BYTES });

export const REGISTER = {
  address: required(
    textField('Where it is reached: HOST:PORT, or a URL', { minBytes: 1, maxBytes: MAX_ADDRESS_BYTES }),
  ),
  version: textField('Version of what runs there', { minBytes: 1, maxBytes: MAX_VERSION_BYTES }),
  weight: integerField('Its part of the work', 1, MAX_WEIGHT, { default: 1 }),
  metadata: objectField('Whatever else is to be known of it', MAX_METADATA_BYTES),
  status: choiceField('How it is. Default: passing', STATUSES),
  note,
  node: idField('Id of the node or agent in whose process it runs, if any'),
  lease: idField('A lease that there is, with which it goes. Without one, one is made'),
  ttl: durationField('Time to live of the lease that is made; not together with lease', MIN_TTL_MS, MAX_TTL_MS, '15s'),
};

export const REPORT = {
  status: required(choiceField('How it is', STATUSES)),
  note,
  lease: idField('Its lease: what is registered with another is left alone'),
};

export const NOTHING = {};

// --- parts of a transaction (txn-json.ts puts them together) -----------------------------------------------------

const keyEncoding = choiceField('How key, prefix, start and end are written', ['utf8', 'base64url']);
const encoding = choiceField('How value is written', ['utf8', 'base64']);
const key = required(textField('The key, as keyEncoding says'));
const prev = flagField('Give back the entry that was there, null for none');
const end = textField('First key beyond the span; without it, it has no end');

export const TXN_PUT = {
  key,
  keyEncoding,
  value: required(textField('The value, as encoding says')),
  encoding,
  contentType: textField('Media type, kept with the value', { minBytes: 1, maxBytes: 256 }),
  lease: idField('Lease that the key shall hang on'),
  prev,
};

export const TXN_GET = { key, keyEncoding };

/** A prefix must not be empty, so that a variable that happens to be deletes nothing. */
export const TXN_DELETE = {
  key: textField('One key'),
  prefix: textField('Every key that begins so', { minBytes: 1 }),
  start: textField('Every key from this one on; empty: from the first'),
  end,
  keyEncoding,
  prev,
};

export const TXN_RANGE = {
  prefix: textField('Every key that begins so; empty: every key'),
  start: textField('Every key from this one on'),
  end,
  keyEncoding,
  limit: integerField('Most entries', 1, 1000, { default: 100 }),
  keysOnly: flagField('Leave out values and content types'),
};

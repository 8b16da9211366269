/** Who may speak, and in which order what is said arrives. */
import { inRoom } from '../types.ts';

const HANDSHAKE = 'src/transport/admission.ts';
const PROOF = 'src/transport/proof.ts';
const TOKENS = 'src/transport/join-token.ts';
const LINKS = 'src/transport/base-transport.ts';
const MEMBERS = 'src/node/admission.ts';
const BOOTSTRAP = 'src/node/bootstrap-decision.ts';

export const transport = inRoom('transport', [
  {
    name: 'wrong-cluster-admitted',
    file: MEMBERS,
    about: 'A node of another cluster is sent away with a word that says so.',
    find: `whose it says that it is comes first.
  if (hello.clusterId !== null && hello.clusterId !== clusterId) {`,
    replace: `whose it says that it is comes first.
  if (hello.clusterId === clusterId && hello.clusterId === null) {`,
  },
  {
    name: 'wiped-member-admitted',
    file: MEMBERS,
    about: 'A wiped node comes back under a new id and never votes under the old one.',
    find: 'if (named !== undefined) {',
    replace: "if (named !== undefined && hello.peerId !== '') return { ok: true };\n  if (named !== undefined) {",
  },
  {
    name: 'old-copy-admitted',
    file: MEMBERS,
    about: 'An old copy of a disk has forgotten what it acknowledged.',
    find: 'if (last < index) {',
    replace: 'if (last < 0) {',
  },
  {
    name: 'earlier-boot-admitted',
    file: MEMBERS,
    about: 'A boot epoch below the last one seen is that of an old copy.',
    find: 'if (hello.bootEpoch < remembered.bootEpoch) {',
    replace: 'if (hello.bootEpoch < 0) {',
  },
  {
    name: 'proof-not-compared',
    file: HANDSHAKE,
    about: 'Each side proves that it knows the cluster secret.',
    find: 'if (!timingSafeEqual(mac, expected)) return this.#refuse(basis.otherwise);',
    replace: '',
  },
  {
    name: 'proof-can-be-replayed',
    file: PROOF,
    about: 'A proof covers the nonces of both sides.',
    find: '[context, role, dialer.nonce, listener.nonce, dialer.peerId, listener.peerId]',
    replace: '[context, role, dialer.peerId, listener.peerId]',
  },
  {
    name: 'proof-can-be-sent-back',
    file: PROOF,
    about: 'A proof covers the role of its maker.',
    find: '[context, role, dialer.nonce,',
    replace: '[context, dialer.nonce,',
  },
  {
    name: 'proof-can-be-relayed',
    file: PROOF,
    about: 'A proof covers the peer ids that noise authenticated.',
    find: 'listener.nonce, dialer.peerId, listener.peerId]',
    replace: 'listener.nonce]',
  },
  {
    name: 'token-signed-by-nobody',
    file: TOKENS,
    about: 'The key of a join token is made of its claims and the secret: who changes a claim does not have it.',
    find: '.update(CONTEXT).update(claimsBytes).digest()',
    replace: '.update(CONTEXT).digest()',
  },
  {
    name: 'expired-token-admitted',
    file: TOKENS,
    about: 'A join token lets nobody in after it expired.',
    find: 'if (wallMs <= claims.expiresMs + TOKEN_CLOCK_TOLERANCE_MS) return null;',
    replace: 'if (wallMs !== -1) return null;',
  },
  {
    name: 'token-of-another-role-admitted',
    file: HANDSHAKE,
    about: 'A join token lets its bearer be nothing but what it says.',
    find: "if (reason !== null) return { ok: false, code: 'ERR_BAD_TOKEN', message: reason };",
    replace: '',
  },
  {
    name: 'speaks-for-another',
    file: HANDSHAKE,
    about: 'A peer is who noise authenticated, whatever its Hello says.',
    find: "if (hello.peerId !== this.#options.remotePeerId) return this.#malformed('peer id of another');",
    replace: '',
  },
  {
    name: 'both-sides-keep-another-link',
    file: LINKS,
    about: 'Of two connections dialled at once both sides keep the same one.',
    find: 'return oneEpoch === otherEpoch ? one.number > other.number : oneEpoch > otherEpoch;',
    replace: 'return false;',
  },
  {
    name: 'frames-of-two-links-mixed',
    file: LINKS,
    about: 'Frames are taken from the connection that counts only.',
    find: 'if (state?.current !== link || this.closing) return;',
    replace: 'if (state === undefined || this.closing) return;',
  },
  {
    name: 'outranked-link-taken-up-again',
    file: LINKS,
    about: 'A connection counts once, or never: who was outranked ends with the one that counts.',
    find: '    for (const outranked of [...state.links]) outranked.close();\n',
    replace: `    const next = state.links.at(-1);
    if (next !== undefined) {
      state.current = next;
      this.#tell({ type: 'up', peer: state.peer });
      return;
    }
`,
  },
  {
    name: 'answer-of-an-earlier-dial',
    file: 'src/transport/reconnect.ts',
    about: 'What came of a dial tells nothing of the process after a later one.',
    find: ' && target.dials === dial',
    replace: '',
  },
  {
    name: 'claimed-address-believed',
    file: 'src/transport/reconnect.ts',
    about: 'Where a peer says that it is another may be.',
    find: '    if (this.#targets.get(target.address) === target) this.#checkClaim(target, id, CHECK_CLAIM_MS);\n',
    replace: '',
  },
  {
    name: 'message-of-another-cluster',
    file: 'src/node/wire.ts',
    about: 'Every frame carries the cluster id.',
    find: "  if (bytes.compare(cluster, 0, 8, 8, 16) !== 0) throw malformed('of another cluster');\n",
    replace: '',
  },
  {
    name: 'adopts-before-all-are-bound',
    file: BOOTSTRAP,
    about: 'A cluster is formed when every first member has bound itself to the same map, on disk (decision 13).',
    find: "if (unbound.length === 0) return { type: 'adopt', map: own.proposal };",
    replace: "if (missing.length === 0) return { type: 'adopt', map: own.proposal };",
  },
  {
    name: 'late-token-link-kept',
    file: LINKS,
    about:
      'A handshake by a token that ends when there is the secret makes no link: nobody would hear what is said on it.',
    find: 'if (link.bearsToken && !this.#bearsToken()) {',
    replace: 'if (link.bearsToken && link.wanted) {',
  },
  {
    name: 'token-link-outranks-secret',
    file: LINKS,
    about: 'A link by the secret is not given up for one by a token.',
    find: 'if (isByToken(one) !== isByToken(other)) return isByToken(other);',
    replace: '',
  },
  {
    name: 'token-links-hung-up-with-all',
    file: LINKS,
    about: 'Who gives up links by a token keeps the one by the secret.',
    find: 'if (isByToken(link)) link.close();',
    replace: 'link.close();',
  },
]);

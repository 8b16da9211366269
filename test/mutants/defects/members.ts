/** Members that come, go and are exchanged: the part of the node. That of the core is in membership.ts. */
import { inRoom } from '../types.ts';

const ADMISSION = 'src/node/admission.ts';
const AGENTS = 'src/node/agents.ts';
const CHANGES = 'src/node/member-changes.ts';
const DESK = 'src/node/join-desk.ts';
const DUTIES = 'src/node/member-duties.ts';
const JOINING = 'src/node/joining.ts';
const LIVENESS = 'src/node/gossip/liveness.ts';
const MACHINE = 'src/machine/machine.ts';
const MEMBERSHIP = 'src/node/membership.ts';
const DISPATCHER = 'src/node/peer-dispatcher.ts';
const ROSTER = 'src/node/roster.ts';

export const members = inRoom('members', [
  {
    name: 'change-answered-before-commit',
    file: MEMBERSHIP,
    about: 'A change of the members is answered when it is applied.',
    find: '          await this.#applied(result.index, result.term, deadline);\n',
    replace: '',
  },
  {
    name: 'change-answered-while-joint',
    file: MEMBERSHIP,
    about: 'A change of the members is done when its joint configuration is left.',
    find: '        if ((machine.configuration?.votersOutgoing.length ?? 0) === 0) return;',
    replace: '        return;',
  },
  {
    name: 'in-force-answered-as-done',
    file: MEMBERSHIP,
    about: 'In force is not committed: what an answer says must not be cut off again.',
    find: "        else if (!this.#isSettled) why = refused('changePending');\n",
    replace: '',
  },
  {
    name: 'deposed-leader-answers',
    file: MEMBERSHIP,
    about: 'Who led once may go by what another has changed: it answers only after it was confirmed (thesis §6.4).',
    find: '        else if (!isConfirmed) {',
    replace: '        else if (isConfirmed) {',
  },
  {
    name: 'change-of-another-leader-answered',
    file: MEMBERSHIP,
    about: 'A change that another leader has put something else in the place of was not done.',
    find: "        if (found !== term) throw new KvorumError('ERR_NO_LEADER', 'the leader changed, the change was dropped');\n",
    replace: '',
  },
  {
    name: 'promoted-before-it-has-caught-up',
    file: MEMBERSHIP,
    about: 'A learner becomes a voter when it has what the leader has, nearly (thesis §4.2.1).',
    find: '    return commit - follower.match <= CAUGHT_UP_ENTRIES;',
    replace: '    return commit >= follower.match;',
  },
  {
    name: 'goes-before-the-new-one-votes',
    file: CHANGES,
    about: 'Who is replaced by a node of another name goes when that one votes, in one joint change.',
    find: 'const goes = named === undefined ? [] : [named];',
    replace: 'const goes = replaced === undefined ? [] : [replaced];',
  },
  {
    name: 'removed-identity-is-added-again',
    file: CHANGES,
    about: 'An identity that was removed cannot come back: it may have forgotten what it promised.',
    find: '  if (removed !== undefined) throw wasRemoved(removed);\n',
    replace: '',
  },
  {
    name: 'only-voter-is-removed',
    file: CHANGES,
    about: 'Somebody is left to decide.',
    find: '  if (goes.length === 0 || voters.some((id) => !goes.some((one) => one.id === id))) return;',
    replace: '  if (goes.length <= voters.length) return;',
  },
  {
    name: 'removed-member-is-let-in',
    file: ADMISSION,
    about: 'Who was removed while it was away hears so at the door (ADR 0009).',
    find: 'const gone = context.removed.find(({ id }) => id === hello.id);',
    replace: "const gone = context.removed.find(({ id }) => id === '');",
  },
  {
    name: 'removed-member-keeps-its-links',
    file: ROSTER,
    about: 'Who was removed and did not hear it from the log is told, and its links end (ADR 0009).',
    find: '    for (const removed of committed.removed) this.#part(removed.id, wasRemoved(removed).message);\n',
    replace: '',
  },
  {
    name: 'removed-with-the-joint-configuration',
    file: MACHINE,
    about: 'Who goes has a vote until the joint configuration is left, and stays until then (thesis §4.3).',
    find: 'const removed = memberMap.removed.filter(({ id }) => !configuration.votersOutgoing.includes(id));',
    replace: 'const { removed } = memberMap;',
  },
  {
    name: 'removed-member-goes-at-once',
    file: DUTIES,
    about: 'Who was removed goes on for a moment, so that the others hear that it has C_new.',
    find: '      if (handsOver || waited < LINGER_MS) return;\n',
    replace: '',
  },
  {
    name: 'only-asks-those-it-was-given',
    file: JOINING,
    about: 'Who waits to be let in asks the members of now, not only those that it was given.',
    find: '    if (contacts.length > 0) this.#dial(contacts);\n',
    replace: '',
  },
  {
    name: 'joined-before-it-is-on-disk',
    file: JOINING,
    about: 'A node that was let in remembers it.',
    find: '      stageClusterMap(store, map);\n',
    replace: '',
  },
  {
    name: 'token-expires-at-the-door-only',
    file: DESK,
    about: 'Who was let in by a token asks while the token is good.',
    find: '    if (this.#options.wallTime() > expiresMs + TOKEN_CLOCK_TOLERANCE_MS) {',
    replace: '    if (this.#options.wallTime() > Infinity && expiresMs > TOKEN_CLOCK_TOLERANCE_MS) {',
  },
  {
    name: 'asks-to-be-more-than-it-said-at-the-door',
    file: DESK,
    about: 'A bearer is added as what it was judged as, not as what it asks for afterwards.',
    find: 'if (hello === undefined || joinRoleOf(hello) !== role) {',
    replace: 'if (hello === undefined || joinRoleOf(hello) === null) {',
  },
  {
    name: 'bearer-speaks-as-a-member',
    file: DISPATCHER,
    about: 'Over a link that a ticket opened one may ask to be let in, and nothing else.',
    find: "if (credential.type === 'token' && !(channel === 'client' && frame[0] === FRAME.join)) {",
    replace: "if (credential.type === 'token' && channel === 'gossip') {",
  },
  {
    name: 'agent-speaks-raft',
    file: AGENTS,
    about: 'Agents have no part in Raft.',
    find: "    if (channel !== 'raft' && channel !== 'snapshot') return true;",
    replace: "    if (channel !== 'snapshot') return true;",
  },
  {
    name: 'dead-voter-is-removed',
    file: LIVENESS,
    about: 'What gossip hears is a hint: it never changes who votes.',
    find: '    const { env, replica, transport } = this.#options;\n    if (replica.softState.leader === id &&',
    replace: `    const { env, replica, transport } = this.#options;
    const context = replica.core.status().configuration.context as { members: { id: string }[] };
    const members = context.members.filter((member) => member.id !== id);
    replica.proposeConfig({ changes: [{ id, to: 'removed' }], context: { ...context, members } });
    if (replica.softState.leader === id &&`,
  },
]);

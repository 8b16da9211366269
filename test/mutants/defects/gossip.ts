/** SWIM with Lifeguard's additions, in the gossip core: what is believed of whom, and what is done about it. */
import { inRoom } from '../types.ts';

const BROADCASTS = 'src/gossip/broadcasts.ts';
const EXCHANGE = 'src/gossip/exchange.ts';
const GOSSIP = 'src/gossip/gossip.ts';
const NEIGHBOURHOOD = 'src/gossip/neighbourhood.ts';
const PROBE = 'src/gossip/probe.ts';
const SUSPICION = 'src/gossip/suspicion.ts';
const TABLE = 'src/gossip/table.ts';

/** The assertion that would be the one to notice. */
const RENEWED_BY_ANYTHING = {
  file: TABLE,
  find: "    invariant(statement.incarnation > this.statementOf(slot).incarnation, 'What a member says of itself is not new');\n",
  replace: '',
};

export const gossip = inRoom('gossip', [
  {
    name: 'refuted-under-the-same-incarnation',
    file: GOSSIP,
    about: 'Who is suspected says that it is alive under a larger incarnation (SWIM §4.2).',
    find: '#speakUp(details: Details, incarnation = this.#own.incarnation + 1): void {',
    replace: '#speakUp(details: Details, incarnation = this.#own.incarnation): void {',
    also: [RENEWED_BY_ANYTHING],
  },
  {
    name: 'older-word-replaces-a-newer-one',
    file: GOSSIP,
    about: 'Of two things that a member says of itself the one with the larger incarnation counts (SWIM §4.2).',
    find: '    if (known !== undefined && statement.incarnation <= table.statementOf(known).incarnation) return;\n',
    replace: '',
    also: [RENEWED_BY_ANYTHING],
  },
  {
    name: 'accused-of-an-incarnation-gone-by',
    file: TABLE,
    about: 'What is said against a member says nothing of its later incarnations (SWIM §4.2).',
    find: '    return incarnation >= this.statementOf(slot).incarnation;',
    replace: '    return true;',
  },
  {
    name: 'accused-of-an-incarnation-to-come',
    file: GOSSIP,
    about: 'Nobody but the member itself raises its incarnation (SWIM §4.2).',
    find: '    if (incarnation > table.statementOf(slot).incarnation) return this.#keepEarly(slot, statement);\n',
    replace: '',
  },
  {
    name: 'accusation-without-signature',
    file: GOSSIP,
    about: 'Who accuses has signed it.',
    find: '    if (!this.#verified(statement, table.statementOf(author).peerId)) return;\n',
    replace: '',
  },
  {
    name: 'good-bye-without-signature',
    file: GOSSIP,
    about: 'Nobody can say for another that it has left.',
    find: '    if (!this.#verified(statement, this.#table.statementOf(slot).peerId)) return;\n',
    replace: '',
  },
  {
    name: 'member-id-of-another',
    file: GOSSIP,
    about: 'A member id is made of the peer id, whose key signs.',
    find: "    if (this.#options.idOf(statement.peerId) !== statement.id) return this.refuse('badIdentity');\n",
    replace: '',
  },
  {
    name: 'dead-by-hearsay',
    file: GOSSIP,
    about: 'Who is dead in the table of another is suspected only: that may be long over (memberlist, mergeState).',
    find: "    else if (kind === 'dead' && fromTable) this.#hearsay(slot, statement, nowMs);\n",
    replace: '',
  },
  {
    name: 'confirmation-not-passed-on',
    file: GOSSIP,
    about: 'The first K independent suspicions are gossiped again (Lifeguard §IV.B).',
    find: '    this.#suspicions.confirm(slot, statement.by);\n    this.#broadcasts.put(slot, statement);\n',
    replace: '    this.#suspicions.confirm(slot, statement.by);\n',
  },
  {
    name: 'stalled-process-accuses',
    file: GOSSIP,
    about: 'What others did not answer while this process stood still says nothing of them.',
    find: '    if (lateMs > this.#settings.stallMs) this.#stalled(lateMs);\n',
    replace: '',
  },
  {
    name: 'suspicion-not-shortened',
    file: SUSPICION,
    about: 'Each independent confirmation makes a suspicion end sooner (Lifeguard §IV.B).',
    find: 'suspicionMs(suspicion, suspicion.by.length - 1);',
    replace: 'suspicionMs(suspicion, 0);',
  },
  {
    name: 'confirmed-twice-by-the-same',
    file: SUSPICION,
    about: 'Confirmations are independent: each accuser counts once (Lifeguard §IV.B).',
    find: ' && !suspicion.by.includes(by);',
    replace: ';',
  },
  {
    name: 'health-never-gets-better',
    file: PROBE,
    about: 'A probe that is answered makes the local health better by one (Lifeguard §IV.A).',
    find: '      this.#context.awareness.apply(-1);\n',
    replace: '',
  },
  {
    name: 'nacks-not-counted',
    file: PROBE,
    about: 'Only the nacks that did not come count against this node (Lifeguard §IV.A).',
    find: 'awareness.apply(helpers > 0 ? helpers - probe.nacks.size : 1);',
    replace: 'awareness.apply(helpers > 0 ? helpers : 1);',
  },
  {
    name: 'nobody-else-is-asked-to-ping',
    file: PROBE,
    about: 'Who does not answer is pinged by k others before it is suspected (SWIM §3.1).',
    find: '      settings.indirectProbes,\n',
    replace: '      0,\n',
  },
  {
    name: 'ack-of-anybody',
    file: PROBE,
    about: 'A probe is answered by its target, or through those who were asked.',
    find: '      if (from !== probe.peerId && probe.helpers?.includes(from) !== true) return;\n',
    replace: '',
  },
  {
    name: 'suspect-is-not-told',
    file: PROBE,
    about: 'A ping to a suspect tells it first of all that it is suspected (Lifeguard §IV.C).',
    find: "const told = settings.buddy && verdict?.kind === 'suspect' ? verdict : undefined;",
    replace: 'const told = undefined;',
  },
  {
    name: 'left-is-taken-for-dead',
    file: TABLE,
    about: 'Who says good-bye has not failed.',
    find: '    this.#rank(slot, RANK[statement.kind]);',
    replace: '    this.#rank(slot, Math.min(RANK.dead, RANK[statement.kind]));',
  },
  {
    name: 'dead-are-never-asked-again',
    file: EXCHANGE,
    about: 'Known dead members are asked for ever, so that a split that is over becomes one cluster.',
    find: '      const slot = table.pickDead();',
    replace: '      const slot = null as number | null;',
  },
  {
    name: 'passed-on-for-ever',
    file: BROADCASTS,
    about: 'Each statement is passed on λ log n times and no more (SWIM §4.1).',
    find: '      if (broadcast.transmits >= limit) this.#bySlot.delete(broadcast.slot);\n      else this.#tier(broadcast.transmits).push(broadcast);',
    replace: '      this.#tier(Math.min(broadcast.transmits, limit)).push(broadcast);',
  },
  {
    name: 'neighbours-of-one-side',
    file: NEIGHBOURHOOD,
    about: 'Who is near to a member has that member near: else some are watched by nobody.',
    find: '  let hash = mixed(left) ^ mixed(right);',
    replace: '  let hash = mixed(left) ^ right;',
  },
  {
    name: 'neighbours-of-before',
    file: NEIGHBOURHOOD,
    about: 'Neighbours are chosen among those that are there now.',
    find: '    if (this.#version !== version) {',
    replace: '    if (this.#version < 0) {',
  },
  {
    name: 'news-to-nobody-while-alone',
    file: GOSSIP,
    about: 'Who is linked with no neighbour tells the news all the same.',
    find: '    return linked.length > 0 ? linked : this.#near.pick(count, hears);',
    replace: '    return isLinked !== undefined ? linked : this.#near.pick(count, hears);',
  },
  {
    name: 'strangers-asked-for-help',
    file: NEIGHBOURHOOD,
    about: 'Those are asked first to ping a member that are near to it too.',
    find: 'fitting.filter((slot) => this.#areNear(slot, target))',
    replace: 'fitting.filter((slot) => !this.#areNear(slot, target))',
  },
]);

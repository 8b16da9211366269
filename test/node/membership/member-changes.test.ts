/** What a wish about the members comes to, decided without a cluster. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../../src/errors.ts';
import { parseMembers } from '../../../src/machine/members.ts';
import type { MemberMap } from '../../../src/machine/members.ts';
import {
  planAdd,
  planAddress,
  planDemote,
  planKept,
  planPromote,
  planRemove,
  planReplace,
  type Membership,
  type Newcomer,
  type Plan,
} from '../../../src/node/member-changes.ts';
import { changed, isJoint, left } from '../../../src/raft/change.ts';
import type { Configuration, ConfigurationChange } from '../../../src/raft/types.ts';

function membership(voters: string[], learners: string[] = [], removed: string[] = []): Membership {
  const members = [...voters, ...learners].map((id) => ({ id, name: `n${id}`, peerId: `p${id}`, address: `n${id}:1` }));
  const map: MemberMap = { clusterId: '42', members, removed: removed.map((id) => ({ id, name: `n${id}` })) };
  const configuration: Configuration = {
    voters,
    votersOutgoing: [],
    learners,
    learnersNext: [],
    autoLeave: false,
    context: map,
  };
  return { configuration, map };
}

/** What is in force once the change is done, as every node reads it. */
function after({ configuration }: Membership, change: ConfigurationChange): Membership {
  const next = changed(configuration, change);
  if (typeof next === 'string') throw new Error(`the core refuses it: ${next}`);
  const done = isJoint(next) ? left(next) : next;
  return { configuration: done, map: parseMembers(JSON.parse(JSON.stringify(done.context))) };
}

function changeOf(plan: Plan): ConfigurationChange {
  if (plan.type !== 'change') throw new Error(`nothing to change: ${plan.type}`);
  return plan.change;
}

const newcomer = (id: string, given: Partial<Newcomer> = {}): Newcomer => ({
  id,
  name: `n${id}`,
  peerId: `p${id}`,
  address: `n${id}:1`,
  role: 'voter',
  replaces: null,
  ...given,
});

const always = (): boolean => true;
const never = (): boolean => false;

describe('adding', () => {
  test('begins with a learner, which the leader promotes once it has caught up', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4'))));
    expect(four.configuration).toMatchObject({ voters: ['1', '2', '3'], learners: ['4'] });
    expect(planKept(four, never)).toBeNull();
    const promoted = after(four, planKept(four, always)!);
    expect(promoted.configuration).toMatchObject({ voters: ['1', '2', '3', '4'], learners: [] });
    expect(planKept(promoted, always)).toBeNull();
    expect(planAdd(promoted, newcomer('4'))).toMatchObject({ type: 'done', member: { id: '4' } });
  });

  test('a learner is left one', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4', { role: 'learner' }))));
    expect(planKept(four, always)).toBeNull();
    // Asked again for more, it gets more.
    const wants = after(four, changeOf(planAdd(four, newcomer('4'))));
    expect(planKept(wants, always)?.changes).toEqual([{ id: '4', to: 'voter' }]);
  });

  test('another address of a member is written down', () => {
    const three = membership(['1', '2', '3']);
    const moved = after(three, changeOf(planAdd(three, newcomer('3', { address: 'elsewhere:1' }))));
    expect(moved.map.members[2]).toMatchObject({ id: '3', address: 'elsewhere:1' });
    expect(moved.configuration.voters).toEqual(['1', '2', '3']);
    expect(planAddress(moved, '3', 'elsewhere:1')).toMatchObject({ type: 'done' });
  });

  test.each([
    ['a name of another', newcomer('4', { name: 'n2' }), 'ERR_MEMBER_EXISTS'],
    ['an identity under another name', newcomer('2', { name: 'x' }), 'ERR_MEMBER_EXISTS'],
    ['an identity that was removed', newcomer('9'), 'ERR_MEMBER_REMOVED'],
    ['the place of nobody', newcomer('4', { replaces: 'n8' }), 'ERR_NOT_FOUND'],
    [
      'a name that is taken in the place of a third',
      newcomer('4', { name: 'n2', replaces: 'n3' }),
      'ERR_MEMBER_EXISTS',
    ],
  ])('refuses %s', (_what, asked, code) => {
    expect(() => planAdd(membership(['1', '2', '3'], [], ['9']), asked)).toThrowError(
      expect.objectContaining({ code }) as Error,
    );
  });
});

describe('replacing', () => {
  test('with another name: both at once, when the new one has caught up', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4', { replaces: 'n2' }))));
    expect(four.configuration.voters).toEqual(['1', '2', '3']);
    const done = after(four, planKept(four, always)!);
    expect(done.configuration).toMatchObject({ voters: ['1', '3', '4'], learners: [] });
    expect(done.map.removed).toEqual([{ id: '2', name: 'n2', by: '4' }]);
  });

  test('with the same name: the old one goes at once', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4', { name: 'n2', replaces: 'n2' }))));
    expect(four.configuration).toMatchObject({ voters: ['1', '3'], learners: ['4'] });
    expect(after(four, planKept(four, always)!).configuration.voters).toEqual(['1', '3', '4']);
  });

  test('a sole voter is not thrown out before somebody else votes', () => {
    const one = membership(['1']);
    expect(() => planAdd(one, newcomer('4', { name: 'n1', replaces: 'n1' }))).toThrowError(
      expect.objectContaining({ code: 'ERR_LAST_VOTER' }) as Error,
    );
    const two = after(one, changeOf(planAdd(one, newcomer('4', { replaces: 'n1' }))));
    expect(after(two, planKept(two, always)!).configuration.voters).toEqual(['4']);
  });

  test('by a member that is there: it waits until it has caught up, and is done when it is done', () => {
    const four = membership(['1', '2', '3'], ['4']);
    expect(planReplace(four, 'n2', 'n4', never)).toMatchObject({ type: 'wait' });
    const done = after(four, changeOf(planReplace(four, 'n2', 'n4', always)));
    expect(done.configuration.voters).toEqual(['1', '3', '4']);
    expect(planReplace(done, 'n2', 'n4', always)).toMatchObject({ type: 'done' });
    expect(() => planReplace(done, 'n4', 'n4', always)).toThrowError(KvorumError);
  });

  test('a learner by a learner: asked again, by name or id, it is done; in the place of nobody it is not', () => {
    const five = membership(['1', '2', '3'], ['4', '5']);
    const done = after(five, changeOf(planReplace(five, 'n4', 'n5', never)));
    expect(done.configuration).toMatchObject({ voters: ['1', '2', '3'], learners: ['5'] });
    for (const old of ['n4', '4']) {
      expect(planReplace(done, old, 'n5', never)).toMatchObject({ type: 'done', member: { id: '5' } });
    }
    expect(() => planReplace(done, 'n8', 'n5', never)).toThrowError(
      expect.objectContaining({ code: 'ERR_NOT_FOUND' }) as Error,
    );
  });

  test('one that was removed and in whose place nobody came is replaced by nobody', () => {
    const five = membership(['1', '2', '3'], ['4', '5']);
    for (const gone of ['n3', 'n4']) {
      const done = after(five, changeOf(planRemove(five, gone)));
      expect(() => planReplace(done, gone, 'n5', never)).toThrowError(
        expect.objectContaining({ code: 'ERR_NOT_FOUND' }) as Error,
      );
    }
  });
});

test('promoting, demoting and removing are done when they are done', () => {
  const four = membership(['1', '2', '3'], ['4']);
  expect(planPromote(four, 'n4', never)).toMatchObject({ type: 'wait' });
  const promoted = after(four, changeOf(planPromote(four, '4', always)));
  expect(planPromote(promoted, 'n4', never)).toMatchObject({ type: 'done' });
  const demoted = after(promoted, changeOf(planDemote(promoted, 'n1')));
  expect(demoted.configuration).toMatchObject({ voters: ['2', '3', '4'], learners: ['1'] });
  expect(planDemote(demoted, 'n1')).toMatchObject({ type: 'done' });
  const removed = after(demoted, changeOf(planRemove(demoted, 'n1')));
  expect(removed.configuration).toMatchObject({ voters: ['2', '3', '4'], learners: [] });
  expect(planRemove(removed, 'n1')).toMatchObject({ type: 'done', member: null });
});

test('a learner that was demoted does not want to be a voter again', () => {
  const three = membership(['1', '2', '3']);
  const four = after(three, changeOf(planAdd(three, newcomer('4'))));
  const demoted = after(four, changeOf(planDemote(four, 'n4')));
  expect(planKept(demoted, always)).toBeNull();
});

test('whatever is asked for: names and ids stay unique, map and configuration agree, somebody votes, nobody removed comes back', () => {
  const wish = fc.record({
    kind: fc.constantFrom('add', 'promote', 'demote', 'remove', 'replace', 'kept'),
    id: fc.integer({ min: 1, max: 12 }).map(String),
    other: fc.integer({ min: 1, max: 12 }).map(String),
    role: fc.constantFrom('voter' as const, 'learner' as const),
    replaces: fc.boolean(),
    sameName: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 60 }), (wishes) => {
      let now = membership(['1', '2', '3']);
      const gone = new Set<string>();
      for (const { kind, id, other, role, replaces, sameName } of wishes) {
        let change: ConfigurationChange | null = null;
        try {
          const asked = newcomer(id, {
            role,
            replaces: replaces ? other : null,
            ...(replaces && sameName ? { name: `n${other}` } : {}),
          });
          const plan =
            kind === 'add'
              ? planAdd(now, asked)
              : kind === 'promote'
                ? planPromote(now, id, always)
                : kind === 'demote'
                  ? planDemote(now, id)
                  : kind === 'remove'
                    ? planRemove(now, id)
                    : kind === 'replace'
                      ? planReplace(now, id, other, always)
                      : null;
          change = plan === null ? planKept(now, always) : plan.type === 'change' ? plan.change : null;
        } catch (error) {
          if (!KvorumError.is(error)) throw error;
        }
        if (change === null) continue;
        for (const one of change.changes) if (one.to === 'removed') gone.add(one.id);
        now = after(now, change);
        const { members } = now.map;
        expect(new Set(members.map(({ name }) => name)).size).toBe(members.length);
        const { voters, learners } = now.configuration;
        expect([...voters, ...learners].toSorted()).toEqual(members.map((member) => member.id).toSorted());
        expect(voters.length).toBeGreaterThan(0);
        for (const member of members) expect(gone.has(member.id)).toBe(false);
      }
    }),
  );
});

describe('what a second reading found', () => {
  test('an address that nobody can dial never gets into the configuration', () => {
    const three = membership(['1', '2', '3']);
    for (const address of ['n4.example.com.:7201', '_n4:7201', 'knöten:7201', '[1:2]:7201', 'n4:0', 'n4']) {
      expect(() => planAdd(three, newcomer('4', { address }))).toThrowError(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error,
      );
      expect(planAddress(three, '3', address)).toMatchObject({ type: 'done' });
    }
  });

  test('who is demoted before it has taken a place does not take it any more', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4', { replaces: 'n2' }))));
    const demoted = after(four, changeOf(planDemote(four, 'n4')));
    expect(planKept(demoted, always)).toBeNull();
    expect(demoted.configuration.voters).toEqual(['1', '2', '3']);
  });

  test('who is promoted by hand takes the place that it came for', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4', { replaces: 'n2' }))));
    expect(after(four, changeOf(planPromote(four, 'n4', always))).configuration.voters).toEqual(['1', '3', '4']);
  });

  test('a member that asks again, now for a place, gets it', () => {
    const three = membership(['1', '2', '3']);
    const four = after(three, changeOf(planAdd(three, newcomer('4'))));
    const asked = after(four, changeOf(planAdd(four, newcomer('4', { replaces: 'n2' }))));
    expect(after(asked, planKept(asked, always)!).configuration.voters).toEqual(['1', '3', '4']);
  });
});

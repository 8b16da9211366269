import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../src/node/options.ts';
import type { NodeOptions } from '../../src/node/types.ts';

const secret = 'a secret of at least sixteen bytes';

describe('resolveOptions', () => {
  it('makes a cluster of one on a free port when nothing is given', () => {
    const resolved = resolveOptions({});
    expect(resolved).toMatchObject({ name: 'n1', listen: '127.0.0.1:0', secret: null, http: null });
    expect(resolved.initialCluster).toEqual({ n1: '127.0.0.1:0' });
    expect(resolved.limits.maxValueBytes).toBe(1024 * 1024);
  });

  it("listens on this node's own address in the initial cluster", () => {
    const initialCluster = { a: '127.0.0.1:7201', b: '[::1]:7202' };
    expect(resolveOptions({ name: 'b', initialCluster, secret }).listen).toBe('[::1]:7202');
    expect(resolveOptions({ name: 'a', initialCluster, secret, listen: '0.0.0.0:9' }).listen).toBe('0.0.0.0:9');
  });

  const three = { a: '127.0.0.1:1', b: '127.0.0.1:2', c: '127.0.0.1:3' };
  it.each<[string, NodeOptions, RegExp]>([
    ['an unknown option', { nmae: 'x' } as NodeOptions, /nmae is not an option/],
    ['a name with a space', { name: 'a b' }, /name must be/],
    ['an empty name', { name: '' }, /name must be/],
    ['a listen address without a port', { listen: 'localhost' }, /listen must be HOST:PORT/],
    ['a port out of range', { listen: '127.0.0.1:70000' }, /listen must be HOST:PORT/],
    [
      'a cluster that does not name this node',
      { name: 'd', initialCluster: three, secret },
      /does not name this node, d/,
    ],
    ['two members at one address', { name: 'a', initialCluster: { a: 'h:1', b: 'h:1' }, secret }, /same address/],
    ['a member without an address', { name: 'a', initialCluster: { a: 'h:1', b: 'h' }, secret }, /initialCluster.b/],
    ['several members and no secret', { name: 'a', initialCluster: three }, /needs a secret/],
    ['a short secret', { secret: 'short' }, /at least 16 bytes/],
    ['a limit that is no number', { limits: { maxKeyBytes: Number.NaN } }, /limits.maxKeyBytes must be/],
    ['a limit out of range', { limits: { maxPending: 0 } }, /limits.maxPending must be/],
    ['an unknown limit', { limits: { toString: 1 } as never }, /limits.toString is not an option/],
    ['metadata with a name that is none', { metadata: { 'a b': 'x' } }, /a name in metadata/],
    ['metadata that is no text', { metadata: { a: 1 } as never }, /metadata.a must be a string/],
    ['metadata that is too large', { metadata: { a: 'x'.repeat(255), b: 'x'.repeat(255) } }, /at most 512/],
    ['a probe that takes its whole period', { gossip: { probeIntervalMs: 500 } }, /less than gossip.probeIntervalMs/],
    ['an unknown gossip option', { gossip: { lhaProbe: false } as never }, /gossip.lhaProbe is not an option/],
    ['heartbeats slower than elections', { timing: { heartbeatMs: 600 } }, /at least twice/],
    ['an HTTP port that is none', { http: { port: 1.5 } }, /http.port/],
  ])('refuses %s', (_, options, message) => {
    expect(() => resolveOptions(options)).toThrow(message);
  });
});

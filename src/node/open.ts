/** What `startNode` starts: a node with a replica, or an agent. */
import { Agent } from './agent/agent.ts';
import { Node } from './node.ts';
import type { Platform } from './platform.ts';
import type { NodeOptions } from './types.ts';

/** Opens the disk and the peer port; `join` comes next. Rejects as `Node.open`. */
export function openNode(options: NodeOptions, platform: Platform): Promise<Node | Agent> {
  return options.role === 'agent' && options.join !== undefined
    ? Agent.open(options, platform)
    : Node.open(options, platform);
}

/** Which of some processes has the other end of a loopback connection (proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const ESTABLISHED = '01';

/** Index of the pid that holds the socket from `localPort` to `remotePort` of 127.0.0.1, -1 when none of them does. */
export function ownerOf(localPort: number, remotePort: number, pids: readonly (number | null)[]): number {
  const inode = inodeOf(localPort, remotePort);
  if (inode === null) return -1;
  return pids.findIndex((pid) => pid !== null && holds(pid, `socket:[${inode}]`));
}

function inodeOf(localPort: number, remotePort: number): string | null {
  const [local, remote] = [`0100007F:${hex(localPort)}`, `0100007F:${hex(remotePort)}`];
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, from, to, state, , , , , , inode] = line.trim().split(/\s+/);
    if (from === local && to === remote && state === ESTABLISHED && inode !== undefined) return inode;
  }
  return null;
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0');
}

function holds(pid: number, link: string): boolean {
  const folder = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return false;
  }
  return names.some((name) => {
    try {
      return readlinkSync(`${folder}/${name}`) === link;
    } catch {
      // Closed since it was listed.
      return false;
    }
  });
}

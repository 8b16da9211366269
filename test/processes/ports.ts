/** Ports for servers that are stopped and started again on the same address. */
import net from 'node:net';

/** Below the range that the system takes for outgoing connections, so that a port is still free after a restart. */
const FIRST_PORT = 15_000;
const PORTS = 15_000;

/** Ports of loopback on which nobody listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  let port = FIRST_PORT + Math.trunc(Math.random() * PORTS);
  while (found.length < count) {
    port = port + 1 < FIRST_PORT + PORTS ? port + 1 : FIRST_PORT;
    if (await isFree(port)) found.push(port);
  }
  return found;
}

async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** What is read from standard input. */
import { UsageError } from './exit.ts';

/** All of it, byte for byte. `what` is asked for when a person sits there. */
export async function readStandardInput(what: string, maxBytes: number): Promise<Uint8Array> {
  if (process.stdin.isTTY) console.error(`kvorum: type ${what}, then Ctrl-D (Ctrl-C gives up)`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw new UsageError(`standard input is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Programs of the system that the networks are made with. */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;

/** Its standard output. Rejects with what it said when it fails. */
export async function command(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { timeout: TIMEOUT_MS, encoding: 'utf8' });
    return stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() ?? '';
    throw new Error(`${program} ${args.join(' ')}: ${said === '' ? (error as Error).message : said}`, { cause: error });
  }
}

/** At exit, when nothing can be waited for. True when it went well. */
export function commandNow(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { timeout: TIMEOUT_MS, stdio: 'ignore' }).status === 0;
}

/** Why it does not work here, in one line; null when it does. */
export async function reasonWhyNot(work: () => Promise<unknown>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.split('\n', 1)[0] ?? text;
  }
}

/**
 * A process that holds locks and can be stopped: it plays the sections that it is sent, with a client of its own. `stop` asks
 * the maker for a SIGSTOP; `block` keeps its own event loop busy, so that no timer and no renewal runs.
 */
import { connect } from '../../../src/client/index.ts';
import type { FromHolder, ToHolder } from './holder-process.ts';
import { playSection } from './section.ts';

const [, , list = ''] = process.argv;
const client = connect(list.split(','));
let woken: () => void = () => undefined;

function tell(message: FromHolder): void {
  process.send?.(message);
}

process.on('message', (message: ToHolder) => {
  if (message.type === 'woken') {
    woken();
    return;
  }
  const { task, how, originUs } = message;
  const nowUs = (): number => Number(process.hrtime.bigint() / 1000n) - originUs;
  const pause = async (ms: number): Promise<void> => {
    if (how === 'block') {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
      return;
    }
    const { promise, resolve } = Promise.withResolvers<undefined>();
    woken = () => resolve(undefined);
    tell({ type: 'stop', ms });
    await promise;
  };
  playSection(client, task, { nowUs, pause }).then(
    (report) => tell({ type: 'done', report }),
    (error: unknown) =>
      tell({ type: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : 'unknown' }),
  );
});

// Nobody is left who would send anything.
process.on('disconnect', () => process.exit(0));
tell({ type: 'ready' });

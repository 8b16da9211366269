/**
 * Workers that hold locks and write to what they protect, which looks at the fencing token. Some are processes of their own
 * that are stopped (SIGSTOP), or whose event loop is blocked, for longer than their lock can live, and go on afterwards: the
 * careful ones see at `guard()` that it is over, the careless ones write, and are refused if somebody was there meanwhile.
 */
import type { Operation } from '../../../src/checker/index.ts';
import { LibraryClients } from '../library-clients.ts';
import { GuardedResource } from '../locks/guarded-resource.ts';
import { HolderProcess } from '../locks/holder-process.ts';
import { playRawSection } from '../locks/raw-section.ts';
import { playSection, type SectionReport, type SectionTask } from '../locks/section.ts';
import { PersistentClient } from '../persistent-client.ts';
import type { ActingWorkload, Chance, Scene } from '../types.ts';
import { ContractError } from '../witness.ts';

const HOLDER_PROCESSES = 2;
const LIBRARY_CLIENTS = 4;
/** Short, so that many are lost. */
const TTLS_MS = [1000, 1500, 3000] as const;
const WAITS_MS = [0, 500, 3000] as const;

export function locks(): ActingWorkload {
  return new Locks();
}

class Locks implements ActingWorkload {
  readonly name = 'locks';
  readonly about = 'locks with a guarded resource: waits, aborts, own leases, holders that are paused beyond their TTL';
  readonly model = 'lock';
  readonly operationsPerKey = 20;
  readonly keysAtOnce = 2;
  #resource: GuardedResource | null = null;
  #library: LibraryClients | null = null;
  #persistent: PersistentClient | null = null;
  readonly #processes: HolderProcess[] = [];
  readonly #counts = { sections: 0, pauses: 0, prevented: 0, lost: 0, careless: 0 };

  async open({ nodes }: Scene): Promise<void> {
    this.#resource = await GuardedResource.open();
    this.#library = new LibraryClients(nodes, LIBRARY_CLIENTS);
    this.#persistent = new PersistentClient(nodes);
    const urls = nodes.map(({ url }) => url);
    for (let made = 0; made < HOLDER_PROCESSES; made++) this.#processes.push(new HolderProcess(urls));
  }

  async act(scene: Scene, actor: number): Promise<void> {
    const { chance } = scene;
    const [process, resource] = [this.#processes[actor], this.#resource];
    if (resource === null) throw new Error('unreachable: the workload was opened');
    while (await scene.pace()) {
      const key = scene.takeKey();
      const isPaused = process !== undefined && chance.chance(0.6);
      const task = taskOf(chance, key.name, resource.url, `holder ${actor}`, isPaused);
      const how = chance.chance(0.5) ? 'stop' : 'block';
      const report =
        process === undefined
          ? await this.#playHere(scene, actor, task)
          : await process.play(task, how, () => scene.nowUs());
      const client = scene.newClient();
      for (const { waited, ...operation } of report.operations) {
        const isUnknown = operation.return === null && operation.fail !== true && waited !== true;
        if (isUnknown) key.unknown++;
        const recorded = { client, key: key.name, ...operation };
        if (isUnknown) scene.record(recorded, `${operation.op}: no answer`);
        else scene.record(recorded, undefined, waited === true ? 'ok' : undefined);
      }
      this.#count(task, report);
      const [wrong] = [...report.wrong, ...resource.problems()];
      if (wrong !== undefined) throw new ContractError(wrong);
    }
  }

  figures(operations: readonly Operation[]): string {
    const acquires = operations.filter(({ op }) => op === 'acquire');
    const granted = acquires.filter(({ return: returned, output }) => returned !== null && output !== null).length;
    const writes = this.#resource?.writes ?? [];
    const accepted = writes.filter((write) => write.accepted).length;
    const { sections, pauses, prevented, lost, careless } = this.#counts;
    return (
      `${sections} sections, ${granted} grants; ${accepted} guarded writes taken with tokens that never fall, ${writes.length - accepted} of stale holders refused; ` +
      `${pauses} holders paused beyond their TTL, of which ${careless} wrote without looking; guard() kept ${prevented} from writing (${lost} of them not paused)`
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map(async (process) => await process.close()));
    await this.#library?.close();
    await this.#resource?.close();
  }

  async #playHere(scene: Scene, actor: number, task: SectionTask): Promise<SectionReport> {
    const nowUs = (): number => scene.nowUs();
    if (this.#persistent === null || this.#library === null) throw new Error('unreachable: the workload was opened');
    if (actor % 2 === 0) {
      const target = scene.chance.pick(scene.nodes);
      return await playRawSection(this.#persistent, target, task, { nowUs }, scene.giveUp);
    }
    const pause = async (): Promise<void> => await Promise.reject(new Error('this process is not to stand still'));
    return await playSection(this.#library.of(actor >> 1), task, { nowUs, pause });
  }

  #count(task: SectionTask, { acquired, prevented, lost }: SectionReport): void {
    const counts = this.#counts;
    counts.sections++;
    counts.prevented += prevented;
    if (lost) counts.lost++;
    if (!acquired || task.pauseMs === 0 || lost) return;
    counts.pauses++;
    if (!task.careful) counts.careless++;
  }
}

function taskOf(chance: Chance, lock: string, resource: string, holder: string, isPaused: boolean): SectionTask {
  const ttlMs = chance.pick(TTLS_MS);
  return {
    ...{ lock, resource, holder, ttlMs },
    waitMs: chance.pick(WAITS_MS),
    abortAfterMs: chance.chance(0.1) ? chance.between(50, 1500) : null,
    ownLease: chance.chance(0.3),
    writes: isPaused ? 2 : chance.between(1, 4),
    betweenMs: chance.between(0, 60),
    careful: !isPaused || chance.chance(0.5),
    pauseMs: isPaused ? ttlMs + chance.between(200, 2500) : 0,
  };
}

/** The table of a run. */
import type { Verdict } from './trial.ts';

function simulatorColumn({ simulator, inVain }: Verdict): string {
  if (simulator !== null) {
    const after = simulator.seeds === null ? 'hangs' : `${simulator.seeds} ${simulator.seeds === 1 ? 'seed' : 'seeds'}`;
    return `${simulator.name.replace(' simulator', '')}: ${after}`;
  }
  const seeds = Object.entries(inVain).map(([name, count]) => `${count} ${name.replace(' simulator', '')}`);
  return seeds.length === 0 ? '-' : `not in ${seeds.join(', ')}`;
}

function caughtColumn({ status, caughtBy, detail }: Verdict): string {
  if (status !== 'caught') return status === 'survived' ? 'NOBODY' : `DOES NOT LOAD: ${detail}`;
  return caughtBy === null || detail.startsWith('test/') ? detail : `${caughtBy}: ${detail}`;
}

const HEAD = ['defect', 'room', 'caught by', 's', 'simulator'] as const;

function rows(verdicts: readonly Verdict[]): string[][] {
  return verdicts.map((verdict) => [
    verdict.name,
    verdict.room,
    caughtColumn(verdict).replaceAll(/\s+/g, ' '),
    verdict.seconds.toFixed(1),
    simulatorColumn(verdict),
  ]);
}

export function textTable(verdicts: readonly Verdict[], maxWidth = 90): string {
  const lines = [[...HEAD], ...rows(verdicts)].map((row) => row.map((cell) => cell.slice(0, maxWidth)));
  const widths = HEAD.map((_, column) => Math.max(...lines.map((row) => (row[column] as string).length)));
  return lines
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function markdownTable(verdicts: readonly Verdict[]): string {
  const escaped = rows(verdicts).map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
  return [`| ${HEAD.join(' | ')} |`, `|${HEAD.map(() => '---').join('|')}|`, ...escaped].join('\n');
}

export function summary(verdicts: readonly Verdict[]): string {
  const caught = verdicts.filter(({ status }) => status === 'caught').length;
  const asked = verdicts.filter(({ simulator, inVain }) => simulator !== null || Object.keys(inVain).length > 0);
  const found = asked.filter(({ simulator }) => simulator !== null).length;
  return `${caught} of ${verdicts.length} caught; a simulator alone finds ${found} of the ${asked.length} that it was shown`;
}

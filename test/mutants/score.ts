/** The score in Stryker's report (mutation-testing-elements' schema). */

export interface MutationReport {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly source: string;
        readonly mutants: readonly Mutant[];
      }
    >
  >;
}

interface Mutant {
  readonly mutatorName: string;
  readonly replacement?: string;
  readonly status: string;
  readonly location: { readonly start: Position; readonly end: Position };
}

interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Score {
  readonly killed: number;
  readonly timedOut: number;
  readonly survived: number;
  /** No test comes there. */
  readonly uncovered: number;
  /** Not tested yet. */
  readonly untested: number;
  /** Per cent of those tested; NaN when there are none. */
  readonly score: number;
}

function count(mutants: readonly Mutant[]): Score {
  const of = (status: string): number => mutants.filter((mutant) => mutant.status === status).length;
  const killed = of('Killed');
  const timedOut = of('Timeout');
  const survived = of('Survived');
  const uncovered = of('NoCoverage');
  const score = (100 * (killed + timedOut)) / (killed + timedOut + survived + uncovered);
  return { killed, timedOut, survived, uncovered, untested: of('Pending'), score };
}

/** A text: of a message that says what went wrong, or one of a few that are compared. */
function isText({ mutatorName }: Mutant): boolean {
  return mutatorName === 'StringLiteral';
}

export function scoreOf(report: MutationReport): Score {
  return count(Object.values(report.files).flatMap(({ mutants }) => mutants));
}

export function scoreTable(report: MutationReport): string {
  const rows = Object.entries(report.files).map(([file, { mutants }]) => [file, mutants] as const);
  const all = rows.flatMap(([, mutants]) => mutants);
  const lines = [
    ...rows,
    ['all', all] as const,
    ['all but texts', all.filter((mutant) => !isText(mutant))] as const,
  ].map(([name, mutants]) => {
    const { killed, timedOut, survived, uncovered, untested, score } = count(mutants);
    const numbers = [killed, timedOut, survived, uncovered, untested].map((number) => String(number).padStart(9));
    return `${name.padEnd(30)}${score.toFixed(1).padStart(7)}${numbers.join('')}`;
  });
  const heads = ['killed', 'time-out', 'survived', 'no test', 'untested'].map((head) => head.padStart(9)).join('');
  return [`${''.padEnd(30)}${'score %'.padStart(7)}${heads}`, ...lines].join('\n');
}

/** `file:line:column mutator: what stood there → what stands there instead`. */
export function survivors(report: MutationReport): string[] {
  return Object.entries(report.files).flatMap(([file, { source, mutants }]) => {
    const lines = source.split('\n');
    return mutants
      .filter(({ status }) => status === 'Survived' || status === 'NoCoverage')
      .map(({ location: { start, end }, mutatorName, replacement }) => {
        const line = lines[start.line - 1] ?? '';
        const was =
          start.line === end.line ? line.slice(start.column - 1, end.column - 1) : `${line.slice(start.column - 1)}…`;
        const now = (replacement ?? '').replaceAll(/\s+/g, ' ');
        return `${file}:${start.line}:${start.column} ${mutatorName}: ${was} → ${now}`;
      });
  });
}

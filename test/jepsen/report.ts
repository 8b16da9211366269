/** The report of a run: one HTML page that loads nothing. */
import { chart, escape, type Shade } from './chart.ts';
import type { Measured, RunResult } from './result.ts';
import { quantile } from './timeline.ts';

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 1120px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0.2em; } h2 { font-size: 1.1em; margin: 1.8em 0 0.4em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: 0.25em 0.7em 0.25em 0; border-bottom: 1px solid #ccc; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: 13px ui-monospace, monospace; } pre { white-space: pre-wrap; background: #f4f4f4; padding: 0.6em; }
.ok { font-weight: 600; color: #0a5c2b; } .bad, .violation, .error { font-weight: 700; color: #a00; } .void, .unknown { font-weight: 700; color: #7a4b00; }
svg { width: 100%; height: auto; margin: 0.6em 0 1em; break-inside: avoid; }
svg text { font: 11px system-ui, sans-serif; fill: #111; } svg .title { font-size: 13px; font-weight: 600; } svg .label { font-size: 10px; }
.grid { stroke: #ddd; } .axis { stroke: #111; } .frame { fill: none; stroke: #555; }
.fault { fill: #c8a24a; fill-opacity: 0.28; } .edge { stroke: #9a7420; stroke-dasharray: 2 3; }
@media print { body { margin: 0; font-size: 11px; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } tr { break-inside: avoid; } }
`;

export function renderReport(result: RunResult, { seconds }: Measured): string {
  const shown = seconds.slice(0, Math.max(1, Math.ceil(result.loadMs / 1000)));
  const shades = result.faults
    .toSorted((a, b) => a.startMs - b.startMs)
    .map(({ nemesis, startMs, healedMs }): Shade => ({
      ...{ label: nemesis, fromSeconds: startMs / 1000, toSeconds: healedMs / 1000 },
    }));
  const length = shown.length;
  const throughput = chart({
    ...{ title: 'Operations that ended in each second', unit: '1/s', scale: 'linear', seconds: length, shades },
    lines: [
      { name: 'ok', color: '#0a5c2b', dashes: '', values: shown.map(({ ok }) => ok) },
      { name: 'fail', color: '#a00', dashes: '5 3', values: shown.map(({ fail }) => fail) },
      { name: 'unknown', color: '#333', dashes: '1 3', values: shown.map(({ unknown }) => unknown) },
    ],
  });
  const of = (q: number): (number | null)[] => shown.map(({ latenciesMs }) => quantile(latenciesMs, q));
  const latency = chart({
    ...{ title: 'Latency of operations that ended well', unit: 'ms', scale: 'log', seconds: length, shades },
    lines: [
      { name: 'p50', color: '#0a5c2b', dashes: '', values: of(0.5) },
      { name: 'p95', color: '#1c4f9c', dashes: '7 3', values: of(0.95) },
      { name: 'p99', color: '#7a4b00', dashes: '3 3', values: of(0.99) },
      { name: 'max', color: '#a00', dashes: '1 3', values: of(1) },
    ],
  });
  const { versions } = result;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Fault lab: ${result.verdict}, seed ${result.seed}</title>
<style>${STYLE}</style>
<h1>Fault lab: <span class="${result.verdict}">${result.verdict}</span></h1>
<p>${result.nodes} nodes, ${(result.loadMs / 1000).toFixed(0)} s, seed ${result.seed}, network ${result.network.kind} (${escape(result.network.why)}). ${escape(result.date)}<br>
Kvorum ${escape(versions.kvorum)} (${escape(versions.commit)}), Node ${escape(versions.node)}, ${escape(versions.system)}<br>
<code>${escape(result.command)}</code></p>
${problems('Violations', result.violations)}${problems('Errors of the lab', result.errors)}${problems('Why the run is void', result.voids)}
<p>${result.ok} operations ended well, ${result.fail} certainly did not happen, of ${result.unknown} nobody knows. ${result.acknowledgedWrites} writes
were acknowledged. While no fault was at work (${result.quiet.seconds} s) ${result.quiet.okPerSecond.toFixed(0)} a second ended well, of ${result.rate} asked for.
${result.replicas === null ? 'The replicas were not compared.' : `In the end every node had the same ${result.replicas.entries} entries, at revision ${result.replicas.revision}.`}</p>
${throughput}
${latency}
<h2>Workloads</h2>
${table(
  ['workload', 'verdict', '#operations', '#ok', '#fail', '#unknown', '#keys', 'model', '#check, ms'],
  result.workloads.map((one) => [
    `${escape(one.name)}<br><small>${escape(one.about)}</small>`,
    `<span class="${one.verdict}">${one.verdict}</span>${one.reason === null ? '' : `<br>${escape(one.reason)}`}${one.picture === null ? '' : `<br><a href="${one.picture}">the failing part</a>`}${one.figures === null ? '' : `<br><small>${escape(one.figures)}</small>`}`,
    ...[one.operations, one.ok, one.fail, one.unknown, one.keys].map(String),
    escape(one.model),
    String(one.checkMs),
  ]),
)}
<h2>Nemeses</h2>
${table(
  ['nemesis', '#injected', '#nothing to do', ''],
  result.nemeses.map(({ name, about, skipped, injected, passed }) => [
    escape(name),
    ...(skipped === null ? [String(injected), String(passed)] : ['–', '–']),
    skipped === null ? escape(about) : `<em>skipped: ${escape(skipped)}</em>`,
  ]),
)}
<h2>Faults</h2>
${table(
  ['#from, s', '#to, s', '#healed, s', 'nemesis', 'what'],
  result.faults
    .toSorted((a, b) => a.startMs - b.startMs)
    .map(({ nemesis, what, startMs, healMs, healedMs }) => [
      ...[startMs, healMs, healedMs].map((ms) => (ms / 1000).toFixed(1)),
      escape(nemesis),
      escape(what),
    ]),
)}
<h2>Why operations did not end well</h2>
${table(
  ['answer', '#times'],
  Object.entries(result.endings).map(([error, count]) => [escape(error), String(count)]),
)}
</html>
`;
}

function problems(title: string, texts: readonly string[]): string {
  if (texts.length === 0) return '';
  return `<h2>${title}</h2>${texts.map((text) => `<pre>${escape(text)}</pre>`).join('')}\n`;
}

/** A heading that begins with # is of a column of numbers. Cells are HTML. */
function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const kinds = headings.map((heading) => (heading.startsWith('#') ? ' class="n"' : ''));
  const head = headings.map((heading, index) => `<th${kinds[index]}>${escape(heading.replace(/^#/, ''))}</th>`);
  const body = rows.map(
    (row) => `<tr>${row.map((cell, index) => `<td${kinds[index] ?? ''}>${cell}</td>`).join('')}</tr>`,
  );
  return `<table><tr>${head.join('')}</tr>\n${body.join('\n')}</table>`;
}

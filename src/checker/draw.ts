/**
 * A picture of what is wrong with a history, as one HTML page without anything from outside: a lane for each client, a
 * bar for each operation from call to return, the longest orders that were found as numbers on the bars, and in red
 * what has no place.
 */
import type { CheckResult, FailedPart } from './check.ts';
import type { Operation } from './history.ts';
import type { Order } from './model.ts';
import { actionText, operationText, valueText } from './words.ts';

/** Operations in a picture. Beyond it those around what is wrong are drawn, and the page says how many are left out. */
const MAX_DRAWN = 60;
/** Failed parts on a page. */
const MAX_PARTS = 8;
const LANE_HEIGHT = 34;
const BAR_HEIGHT = 22;
const LEFT = 110;
/** Room for an event (a call or a return): events stand side by side in order, however long the time between is. */
const EVENT_WIDTH = 30;
const CHARACTER_WIDTH = 6.7;
const MAX_LABEL = 34;

/** The page; for a history that is ok it says so. */
export function drawHistory(result: CheckResult, title = 'History'): string {
  const { verdict, model, operations, steps, parts } = result;
  const shown = parts.slice(0, MAX_PARTS);
  const more = parts.length - shown.length;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}: ${verdict}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)} <span class="verdict ${verdict}">${verdict}</span></h1>
<p>Model <b>${escape(model)}</b>, ${operations} operations, ${steps} configurations visited.</p>
${verdict === 'ok' ? '<p>An order of the operations was found that keeps real time and that the model allows.</p>' : LEGEND}
${shown.map(drawPart).join('\n')}
${more > 0 ? `<p>Not drawn: ${more} of ${parts.length} failed parts.</p>` : ''}
</body>
</html>
`;
}

function drawPart(part: FailedPart): string {
  const drawn = nearby(part);
  const left = part.operations.length - drawn.length;
  const name = part.key === null ? 'Whole history' : `Key ${valueText(part.key)}`;
  return `<section>
<h2>${escape(name)}: ${part.verdict}</h2>
<p class="reason">${escape(part.reason)}.</p>
${part.orders.map((order, at) => orderText(order, at, part.orders.length)).join('\n')}
${left > 0 ? `<p>Not drawn, because away from it: ${left} of ${part.operations.length} operations.</p>` : ''}
<div class="picture">${picture(drawn, part)}</div>
</section>`;
}

function orderText(order: Order, at: number, count: number): string {
  const last = order.operations.slice(-12);
  const dots = last.length < order.operations.length ? '… ' : '';
  const which =
    count === 1 ? 'The longest order' : `Order ${at + 1}${at === 0 ? ' (its numbers are in the picture)' : ''}`;
  const words = last.map((operation) => escape(`${actionText(operation)} (client ${operation.client})`)).join(' · ');
  return `<p class="order">${which}: ${order.operations.length} operations, ends with <b>${escape(order.state)}</b>.<br>${dots}${words}</p>`;
}

/** What matters: nothing that was called after the culprits returned, and of the rest the latest. */
function nearby(part: FailedPart): Operation[] {
  const { operations, culprits } = part;
  const until = Math.max(...culprits.map((operation) => operation.return ?? operation.call), -Infinity);
  const important = new Set(culprits);
  const candidates = operations.filter((operation) => until === -Infinity || operation.call <= until);
  const rest = candidates
    .filter((operation) => !important.has(operation))
    .sort((a, b) => (b.return ?? b.call) - (a.return ?? a.call))
    .slice(0, Math.max(0, MAX_DRAWN - important.size));
  return [...culprits.slice(0, MAX_DRAWN), ...rest].sort((a, b) => a.call - b.call);
}

function picture(operations: readonly Operation[], part: FailedPart): string {
  const columns = columnsOf(operations);
  const clients = [...new Set(operations.map(({ client }) => client))];
  const lanes = lanesOf(operations, clients);
  const numbers = new Map(part.orders[0]?.operations.map((operation, at) => [operation, at + 1]));
  const culprits = new Set(part.culprits);
  const width = LEFT + columns.width + 2 * EVENT_WIDTH;
  const height = lanes.count * LANE_HEIGHT + 40;
  const shapes: string[] = [];
  for (const [client, lane] of lanes.ofClient) {
    const y = lane * LANE_HEIGHT + 22;
    shapes.push(
      `<text x="8" y="${y + 4}" class="client">client ${escape(String(client).slice(0, 10))}</text>`,
      `<line x1="${LEFT}" x2="${width}" y1="${y}" y2="${y}" class="lane"/>`,
    );
  }
  for (const operation of operations) {
    const y = (lanes.of.get(operation) ?? 0) * LANE_HEIGHT + 22;
    const from = LEFT + (columns.call.get(operation) ?? 0);
    const to = LEFT + (columns.returned.get(operation) ?? columns.width + EVENT_WIDTH);
    const number = numbers.get(operation);
    const kind = culprits.has(operation) ? 'culprit' : number === undefined ? 'unplaced' : 'placed';
    const open = operation.return === null ? ' open' : '';
    const label = (number === undefined ? '' : `${number}· `) + shorten(actionText(operation));
    shapes.push(
      `<g class="${kind}${open}"><title>${escape(operationText(operation))}${number === undefined ? '' : `, place ${number}`}</title>`,
      `<rect x="${from}" y="${y - BAR_HEIGHT / 2}" width="${Math.max(6, to - from)}" height="${BAR_HEIGHT}" rx="4"/>`,
      `<text x="${from + 6}" y="${y + 4}">${escape(label)}</text></g>`,
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<defs>${['placed', 'unplaced', 'culprit'].map(fade).join('')}</defs>
${shapes.join('\n')}
</svg>`;
}

/** Open operations fade out to the right: they may have happened at any later time. */
function fade(kind: string): string {
  return `<linearGradient id="fade-${kind}" class="${kind}"><stop offset="0.1" class="solid"/><stop offset="1" class="gone"/></linearGradient>`;
}

interface Columns {
  readonly call: ReadonlyMap<Operation, number>;
  readonly returned: ReadonlyMap<Operation, number>;
  readonly width: number;
}

/** Places for calls and returns in order of time, wide enough that each bar holds its label. Equal times share a place. */
function columnsOf(operations: readonly Operation[]): Columns {
  const call = new Map<Operation, number>();
  const returned = new Map<Operation, number>();
  const events: { time: number; operation: Operation; isCall: boolean }[] = [];
  for (const operation of operations) {
    events.push({ time: operation.call, operation, isCall: true });
    if (operation.return !== null) events.push({ time: operation.return, operation, isCall: false });
  }
  events.sort((a, b) => a.time - b.time || Number(b.isCall) - Number(a.isCall));
  let x = 0;
  let last: (typeof events)[number] | undefined;
  for (const event of events) {
    if (last !== undefined && (last.time !== event.time || last.isCall !== event.isCall)) x += EVENT_WIDTH;
    if (event.isCall) call.set(event.operation, x);
    else {
      const room = Math.min(MAX_LABEL, actionText(event.operation).length + 7) * CHARACTER_WIDTH + 8;
      x = Math.max(x, (call.get(event.operation) ?? 0) + room);
      returned.set(event.operation, x);
    }
    last = event;
  }
  return { call, returned, width: x };
}

/** A lane a client; one whose earlier operation is open for ever gets a further lane below. */
function lanesOf(operations: readonly Operation[], clients: readonly (string | number)[]) {
  const of = new Map<Operation, number>();
  const ofClient = new Map<string | number, number>();
  let count = 0;
  for (const client of clients) {
    ofClient.set(client, count);
    const until: number[] = [];
    for (const operation of operations) {
      if (operation.client !== client) continue;
      let lane = until.findIndex((time) => time <= operation.call);
      if (lane === -1) lane = until.push(0) - 1;
      until[lane] = operation.return ?? Infinity;
      of.set(operation, count + lane);
    }
    count += Math.max(1, until.length);
  }
  return { of, ofClient, count };
}

function shorten(text: string): string {
  return text.length <= MAX_LABEL ? text : `${text.slice(0, 14)} … ${text.slice(-15)}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text that is safe in HTML, between tags and in quoted attributes; control characters, which HTML forbids, as U+FFFD. */
function escape(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
    .replace(/[\0-\x08\x0b-\x1f\x7f]/g, '\uFFFD');
}

const LEGEND = `<p class="legend"><span class="swatch placed"></span> placed in the longest order, with its place
<span class="swatch unplaced"></span> not placed there <span class="swatch culprit"></span> has no place, or contradicts
· fading: no answer, it may have happened at any later time, or never. Calls and returns stand in order of time, not to scale.
Point at a bar for its times.</p>`;

const STYLE = `
:root { color-scheme: light; --placed: #b7d3f2; --unplaced: #dcdcdc; --culprit: #f08a80; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 24px; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin-top: 32px; }
.verdict { padding: 1px 10px; border-radius: 6px; color: #fff; }
.verdict.ok { background: #22774a; } .verdict.bad { background: #b3261e; } .verdict.unknown { background: #7a5c00; }
.reason { font-weight: 600; max-width: 110ch; overflow-wrap: anywhere; }
.order { font-size: 13px; max-width: 150ch; overflow-wrap: anywhere; }
.legend { font-size: 13px; max-width: 120ch; }
.swatch { display: inline-block; width: 22px; height: 11px; border: 1px solid #555; border-radius: 3px; margin-left: 8px; }
.swatch.placed { background: var(--placed); } .swatch.unplaced { background: var(--unplaced); } .swatch.culprit { background: var(--culprit); }
.picture { overflow-x: auto; border: 1px solid #ccc; border-radius: 6px; }
svg { display: block; } svg text { font: 11px ui-monospace, monospace; fill: #111; } svg text.client { font-weight: 600; }
.lane { stroke: #ececec; }
rect { stroke: #555; stroke-width: 1; }
.placed rect { fill: var(--placed); } .unplaced rect { fill: var(--unplaced); stroke-dasharray: 3 2; } .culprit rect { fill: var(--culprit); stroke: #8c1d18; stroke-width: 2; }
.open.placed rect { fill: url(#fade-placed); stroke: none; } .open.unplaced rect { fill: url(#fade-unplaced); stroke: none; } .open.culprit rect { fill: url(#fade-culprit); stroke: none; }
.placed .solid { stop-color: var(--placed); } .unplaced .solid { stop-color: var(--unplaced); } .culprit .solid { stop-color: var(--culprit); }
.gone { stop-color: #fff; stop-opacity: 0; }
`;

/**
 * HTTP metrics. Counting happens on every request, so it is an array increment here; the numbers take prom-client's
 * shape only when somebody scrapes.
 */
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

/** Upper bounds of the duration histogram, in seconds. */
export const BUCKETS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** What is not known to a route: a request that could not be parsed, or that no route answers. */
export const NO_ROUTE = '(none)';

/** Status recorded when the client hung up before it could be answered; nothing is sent. */
export const STATUS_HUNG_UP = 499;

interface Series {
  readonly status: number;
  count: number;
  sumSeconds: number;
  readonly buckets: Float64Array;
}

/** The counts of one route. */
export class RouteMetrics {
  readonly labels: { readonly method: string; readonly route: string };
  readonly series: Series[] = [];

  constructor(method: string, route: string) {
    this.labels = { method, route };
  }

  record(status: number, seconds: number): void {
    const series = this.#of(status);
    series.count++;
    series.sumSeconds += seconds;
    for (let i = 0; i < BUCKETS.length; i++) {
      if (seconds <= BUCKETS[i]!) {
        series.buckets[i]!++;
        break;
      }
    }
  }

  #of(status: number): Series {
    // A handful of statuses a route: a scan beats a map.
    for (const series of this.series) if (series.status === status) return series;
    const series = { status, count: 0, sumSeconds: 0, buckets: new Float64Array(BUCKETS.length) };
    this.series.push(series);
    return series;
  }
}

export type ShedReason = 'requests' | 'streams' | 'event_loop' | 'body_bytes' | 'connections' | 'closing';

/** What the gauges read when they are scraped. */
export interface Levels {
  readonly inflightRequests: number;
  readonly inflightBodyBytes: number;
  readonly connections: number;
  readonly streams: number;
  readonly eventLoopDelayMs: number;
}

export class HttpMetrics {
  readonly #routes: RouteMetrics[] = [];
  readonly #shed: Record<ShedReason, number> = {
    requests: 0,
    streams: 0,
    event_loop: 0,
    body_bytes: 0,
    connections: 0,
    closing: 0,
  };
  readonly #registry: Registry;
  readonly #names: string[] = [];
  readonly none: RouteMetrics;

  constructor(registry: Registry, levels: () => Levels) {
    this.#registry = registry;
    this.none = this.#add('', NO_ROUTE);
    this.#register(levels);
  }

  of(route: { readonly method: string; readonly path: string }): RouteMetrics {
    return this.#add(route.method, route.path);
  }

  shed(reason: ShedReason): void {
    this.#shed[reason]++;
  }

  /** Takes the metrics out of the registry again, which may outlive this server. */
  close(): void {
    for (const name of this.#names) this.#registry.removeSingleMetric(name);
  }

  #add(method: string, route: string): RouteMetrics {
    const metrics = new RouteMetrics(method, route);
    this.#routes.push(metrics);
    return metrics;
  }

  #register(levels: () => Levels): void {
    const registers = [this.#registry];
    const routes = this.#routes;
    const shed = this.#shed;
    const name = (suffix: string): string => {
      this.#names.push(`kvorum_http_${suffix}`);
      return `kvorum_http_${suffix}`;
    };
    const gauge = (suffix: string, help: string, read: (levels: Levels) => number): Gauge =>
      new Gauge({
        name: name(suffix),
        help,
        registers,
        collect() {
          this.set(read(levels()));
        },
      });
    gauge('inflight_requests', 'Requests being answered', (now) => now.inflightRequests);
    gauge('inflight_body_bytes', 'Bytes of request bodies in memory', (now) => now.inflightBodyBytes);
    gauge('connections', 'Open connections', (now) => now.connections);
    gauge('streams', 'Open streams of events', (now) => now.streams);
    gauge('event_loop_delay_seconds', 'How late the event loop was last', (now) => now.eventLoopDelayMs / 1000);

    const shedTotal: Counter<'reason'> = new Counter({
      name: name('shed_total'),
      help: 'Requests and connections refused, by reason',
      labelNames: ['reason'],
      registers,
      collect() {
        this.reset();
        for (const [reason, count] of Object.entries(shed)) this.inc({ reason }, count);
      },
    });
    const requests: Counter<'method' | 'route' | 'status'> = new Counter({
      name: name('requests_total'),
      help: 'Requests answered, by route and status (499: the client hung up first)',
      labelNames: ['method', 'route', 'status'],
      registers,
      collect() {
        this.reset();
        for (const { labels, series } of routes) {
          for (const { status, count } of series) this.inc({ ...labels, status: String(status) }, count);
        }
      },
    });
    const durations = durationHistogram(name('request_duration_seconds'), routes);
    // prom-client reads name, help, type and get() of a metric, which is all there is to one that counts elsewhere.
    this.#registry.registerMetric(durations as unknown as Parameters<Registry['registerMetric']>[0]);
    // The registry holds them; nothing here needs the handles.
    void [shedTotal, requests];
  }
}

function durationHistogram(name: string, routes: readonly RouteMetrics[]): object {
  const help = 'Time to answer a request, by route and status';
  return {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    reset() {
      for (const { series } of routes) series.length = 0;
    },
    get() {
      const values: { metricName: string; labels: Record<string, string | number>; value: number }[] = [];
      for (const { labels, series } of routes) {
        for (const { status, count, sumSeconds, buckets } of series) {
          const shared = { ...labels, status: String(status) };
          let below = 0;
          for (let i = 0; i < BUCKETS.length; i++) {
            below += buckets[i]!;
            values.push({ metricName: `${name}_bucket`, labels: { le: BUCKETS[i]!, ...shared }, value: below });
          }
          values.push({ metricName: `${name}_bucket`, labels: { le: '+Inf', ...shared }, value: count });
          values.push({ metricName: `${name}_sum`, labels: shared, value: sumSeconds });
          values.push({ metricName: `${name}_count`, labels: shared, value: count });
        }
      }
      return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values });
    },
  };
}

/**
 * What an operator sees at `GET /metrics` (docs/metrics.md). Whoever counts keeps plain numbers, which are read when they are asked for. Each server
 * has a registry of its own. Labels come from closed lists: nothing that a caller sends becomes one.
 */
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { OUTAGE_REASONS, type OutageReason } from '../core/ports.ts';
import { answer } from './answers.ts';
import { type Distribution, openDistribution } from './distribution.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** other than the metric's own name: the parts of a histogram */
  readonly metricName?: string;
}

export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Now; is called for each `GET /metrics`. */
  readonly read: () => number | readonly Sample[];
}

export interface Metrics {
  readonly define: (definition: Definition) => void;
  /** @param histograms alike but for their labels */
  readonly defineHistogram: (name: string, help: string, histograms: readonly Distribution[]) => void;
  /** @returns what is to be called with each answer of this route */
  readonly route: (method: string, path: string) => (status: number, ms: number) => void;
  readonly refused: (reason: OutageReason) => void;
  /** All of it, text format 0.0.4. */
  readonly text: () => Promise<string>;
}

/** Seconds. A warm introspection takes a fraction of the first; a request gets its 503 within two. */
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5];
const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx'];

export function openMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const routes: { readonly statuses: Float64Array; readonly durations: Distribution }[] = [];
  const refusals = Object.fromEntries(OUTAGE_REASONS.map((reason) => [reason, 0])) as Record<OutageReason, number>;

  function define({ name, help, type, read }: Definition): void {
    const get = async () => {
      const now = read();
      return { name, help, type, values: typeof now === 'number' ? [{ labels: {}, value: now }] : now };
    };
    // The registry needs no more of a metric than these; prom-client's own keep their numbers in maps that are looked up for each count.
    registry.registerMetric({ name, help, type, get } as unknown as Metric);
  }
  const defineHistogram: Metrics['defineHistogram'] = (name, help, histograms) =>
    define({ name, help, type: 'histogram', read: () => histograms.flatMap((histogram) => histogram.samples(name)) });

  define({
    name: 'auth_http_requests_total',
    help: 'Answers by route pattern, method and class of the status.',
    type: 'counter',
    read: () =>
      routes.flatMap(({ statuses, durations }) =>
        STATUS_CLASSES.map((status, at) => ({ labels: { ...durations.labels, status }, value: statuses[at] ?? 0 })),
      ),
  });
  const durationsName = 'auth_http_request_duration_seconds';
  define({
    name: durationsName,
    help: 'Time from the head of a request to its answer, by route pattern and method.',
    type: 'histogram',
    read: () => routes.flatMap(({ durations }) => durations.samples(durationsName)),
  });
  define({
    name: 'auth_unavailable_total',
    help: 'Answers with status 503, by reason; those of /health/ready not counted.',
    type: 'counter',
    read: () => OUTAGE_REASONS.map((reason) => ({ labels: { reason }, value: refusals[reason] })),
  });
  return {
    define,
    defineHistogram,
    route(method, route) {
      const statuses = new Float64Array(STATUS_CLASSES.length);
      const durations = openDistribution(DURATIONS, { method, route });
      routes.push({ statuses, durations });
      return (status, ms) => {
        const at = Math.floor(status / 100) - 2;
        statuses[at] = (statuses[at] ?? 0) + 1;
        durations.observe(ms / 1000);
      };
    },
    refused(reason) {
      refusals[reason]++;
    },
    text: () => registry.metrics(),
  };
}

/** `GET /metrics`: what there is to be seen, at any time. Whatever the caller accepts: Prometheus reads this format always. */
export async function metricsPage({ text }: Metrics): Promise<Response> {
  return answer(await text(), Registry.PROMETHEUS_CONTENT_TYPE);
}

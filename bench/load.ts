/**
 * The load generator, a process of its own: keep-alive connections over loopback, each with one request under way, and every answer
 * checked. On raw sockets, because an HTTP client would cost more than the servers it measures.
 */
import { connect, type Socket } from 'node:net';
import { type Cost, cpuMs, difference } from './process-cost.ts';
import { quantile } from './report.ts';
import { bodyOfComplete } from './wire.ts';

/** One round, as the parent process orders it. */
export interface LoadOrder {
  readonly port: number;
  /** of the server, and of what works for it: their process trees are charged */
  readonly pids: readonly number[];
  /** whole HTTP requests, sent in turn */
  readonly requests: readonly string[];
  /** what the body of a right answer contains */
  readonly expected: string;
  readonly connections: number;
  /** load that is not counted: connections open, caches fill */
  readonly leadInMs: number;
  readonly measureMs: number;
}

export interface LoadResult {
  /** answered rightly within {@link LoadResult.elapsedMs} */
  readonly requests: number;
  readonly elapsedMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMs: Cost;
  /** of this process */
  readonly generatorCpuMs: number;
  /** wrong answers and lost connections, in the lead-in too */
  readonly errors: number;
  /** the first of them */
  readonly errorSamples: readonly string[];
}

const ERROR_SAMPLES_MAX = 3;
const STATUS_LINE = /^HTTP\/1\.1 200 /;

interface Tally {
  latenciesMs: number[];
  errors: number;
  readonly errorSamples: string[];
}

if (process.send) {
  process.on('message', (order: LoadOrder) => void run(order).then((result) => process.send?.(result)));
  process.once('disconnect', () => process.exit());
}

async function run(order: LoadOrder): Promise<LoadResult> {
  const tally: Tally = { latenciesMs: [], errors: 0, errorSamples: [] };
  const sockets = Array.from({ length: order.connections }, (_, index) => drive(order, index, tally));
  await delay(order.leadInMs);
  const [serverBefore, ownBefore, startedAt] = [cpuOf(order), process.cpuUsage(), performance.now()];
  tally.latenciesMs = [];
  await delay(order.measureMs);
  const elapsedMs = performance.now() - startedAt;
  const [serverAfter, own] = [cpuOf(order), process.cpuUsage(ownBefore)];
  const sorted = Float64Array.from(tally.latenciesMs).sort();
  for (const socket of sockets)
    socket
      .removeAllListeners()
      .on('error', () => undefined)
      .destroy();
  return {
    requests: sorted.length,
    elapsedMs,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    cpuMs: difference(serverAfter, serverBefore),
    generatorCpuMs: (own.user + own.system) / 1000,
    errors: tally.errors,
    errorSamples: tally.errorSamples,
  };
}

/** Opens a connection and keeps it busy: the next request when the answer is complete. */
function drive({ port, requests, expected }: LoadOrder, index: number, tally: Tally): Socket {
  let turn = index;
  let sentAt = 0;
  let received = '';
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const send = () => {
    sentAt = performance.now();
    socket.write(requests[turn++ % requests.length] ?? '', 'latin1');
  };
  socket.setEncoding('latin1');
  socket.on('connect', send);
  socket.on('data', (chunk: unknown) => {
    received += String(chunk);
    const bodyAt = bodyOfComplete(received);
    if (bodyAt === undefined) return;
    if (STATUS_LINE.test(received) && received.includes(expected, bodyAt)) tally.latenciesMs.push(performance.now() - sentAt);
    else fail(tally, received);
    received = '';
    send();
  });
  socket.on('error', (error) => fail(tally, error.message));
  socket.on('close', () => fail(tally, 'the server closed the connection'));
  return socket;
}

function cpuOf({ pids }: LoadOrder): Cost {
  return pids.map(cpuMs).reduce((sum, cost) => ({ node: sum.node + cost.node, postgres: sum.postgres + cost.postgres }));
}

function fail(tally: Tally, sample: string): void {
  tally.errors++;
  if (tally.errorSamples.length < ERROR_SAMPLES_MAX) tally.errorSamples.push(sample.slice(0, 500));
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

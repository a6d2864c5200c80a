/** One revocation as three nodes see it: how long it takes, and when the last of them says so. */
import { setTimeout as pause } from 'node:timers/promises';
import { issueToken } from '../test/support/client.ts';
import type { Cluster } from './cluster.ts';
import { type Connection, formRequest, openConnection, type WireAnswer } from './wire.ts';

export interface Revocation {
  /** from the request to its answer */
  readonly revokeMs: number;
  /** from that answer until each node has answered `active: false` */
  readonly lastMs: number;
  /** `active: true` to questions that were asked after that answer */
  readonly stale: number;
  /** answers 503, each asked again: a machine that stood still for a while */
  readonly outages: number;
  /** between two answers of one node: what {@link Revocation.lastMs} cannot resolve */
  readonly pollMs: readonly number[];
}

/** Nodes look ten times a second: revocations that waited for the last one to show would all come at the same point of its turn. */
const PAUSE_MS_MAX = 100;
/** Beyond every promise. */
const PATIENCE_MS = 5_000;
const ATTEMPTS_MAX = 20;

/** Tokens are issued and revoked by each node in turn. @throws Error — an answer that is not as it should be */
export async function measureRevocations(cluster: Cluster, count: number): Promise<readonly Revocation[]> {
  const connections = cluster.nodes.map(({ port }) => openConnection(port));
  try {
    const revocations: Revocation[] = [];
    while (revocations.length < count) revocations.push(await revokeOne(cluster, connections, revocations.length));
    return revocations;
  } finally {
    for (const connection of connections) connection.close();
  }
}

async function revokeOne({ nodes, client: credentials }: Cluster, connections: readonly Connection[], turn: number): Promise<Revocation> {
  const revoker = connections[turn % nodes.length];
  const { port = 0 } = nodes[turn % nodes.length] ?? {};
  if (!revoker) throw new Error('no nodes');
  const form = { token: await issueToken(`http://127.0.0.1:${port}`, credentials) };
  const question = formRequest({ port, path: '/introspect', form, credentials });
  let outages = 0;
  const onOutage = () => outages++;
  const isActive = async (connection: Connection) =>
    (JSON.parse((await insist(connection, question, onOutage)).body) as { active: boolean }).active;
  // All of them know it, so that none has to ask PostgreSQL, which would tell the truth at once.
  for (const connection of connections) if (!(await isActive(connection))) throw new Error('a new token is not active');
  await pause(Math.random() * PAUSE_MS_MAX);
  const revoked = await insist(revoker, formRequest({ port, path: '/revoke', form, credentials }), onOutage);
  const pollMs: number[] = [];
  let stale = 0;
  const lastMs = connections.map(async (connection) => {
    let before = revoked.at;
    while (await isActive(connection)) {
      stale++;
      const now = performance.now();
      pollMs.push(now - before);
      before = now;
      if (now - revoked.at > PATIENCE_MS) throw new Error(`still active after ${PATIENCE_MS} ms`);
    }
    return performance.now() - revoked.at;
  });
  return { revokeMs: revoked.ms, lastMs: Math.max(...(await Promise.all(lastMs))), stale, outages, pollMs };
}

/** @throws Error — neither 200 nor 503 */
async function insist(connection: Connection, request: string, onOutage: () => void): Promise<WireAnswer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await connection.ask(request);
    if (answer.status === 200) return answer;
    if (answer.status !== 503 || attempt === ATTEMPTS_MAX) throw new Error(`${answer.status} ${answer.body}`);
    onOutage();
  }
}

/** K5: after the harm was mended, what PostgreSQL holds, what every node says and what is in etcd has to be one story; and nothing may have leaked. */

import { couldBeAccessToken, hashToken, type TokenHash } from '../../src/core/reference-token.ts';
import { openSeal } from '../../src/etcd/seal.ts';
import { client as etcdClient } from '../support/etcd.ts';
import { ADMIN, type Cleanup, ENCRYPTION_KEY } from '../support/faults.ts';
import { scrape } from '../support/metrics.ts';
import { type Cluster, ISSUER } from './cluster.ts';
import type { Token, Workload } from './workload.ts';

/** Of a node: ten for requests and one that follows. */
const CONNECTIONS_MAX = 11;

interface Truth {
  readonly epoch: string;
  /** by token hash */
  readonly tokens: ReadonlyMap<
    string,
    { readonly jti: string; readonly clientId: string; readonly exp: number; readonly isActive: boolean }
  >;
  readonly changes: ReadonlyMap<number, { readonly kind: string; readonly key: string }>;
}

/**
 * @param tokens to ask all nodes for, by now there has to be a load no more
 * @param forged keys in etcd that were written from outside
 * @returns what does not fit, in words
 */
export async function audit(
  t: Cleanup,
  cluster: Cluster,
  workload: Workload,
  tokens: readonly Token[],
  forged: ReadonlySet<string>,
): Promise<string[]> {
  const truth = await truthOf(cluster);
  const answers = await workload.audit(tokens);
  const byName = new Map(tokens.map((token) => [token.name, token]));
  const problems = answers.flatMap(({ token, node, consistency, active, claims, status }) => {
    const record = truth.tokens.get(hashOf(byName.get(token ?? '')));
    if (!record) return [`${token} was issued, and PostgreSQL does not have it`];
    if (active === record.isActive && (!active || claims?.includes(record.jti))) return [];
    return [`${token} at node ${node}, ${consistency}: ${active ?? status}, and in PostgreSQL it is ${record.isActive}`];
  });
  return [
    ...problems,
    ...(await connections(cluster)),
    ...(await inEtcd(t, cluster, truth, forged)),
    ...(await mismatches(cluster)),
    ...secretsIn(cluster),
  ];
}

const hashOf = (token: Token | undefined): string => (token && couldBeAccessToken(token.value) ? hashToken(token.value) : '');

async function truthOf({ postgres }: Cluster): Promise<Truth> {
  const [log] = await postgres.query<{ epoch: string }>('select epoch from change_log');
  const changes = await postgres.query<{ seq: string; kind: string; key: string }>('select seq, kind, key from change');
  const rows = await postgres.query<{ hash: Buffer; jti: string; client_id: string; exp: number; issued_seq: string }>(
    'select token_hash as hash, jti, client_id, extract(epoch from expires_at)::float8 as exp, issued_seq from access_token',
  );
  const ended = new Set(changes.filter(({ kind }) => kind === 'token').map(({ key }) => key));
  const cutOffs = new Map<string, number>();
  for (const { kind, key, seq } of changes) if (kind === 'client') cutOffs.set(key, Math.max(Number(seq), cutOffs.get(key) ?? 0));
  return {
    epoch: log?.epoch ?? '',
    changes: new Map(changes.map(({ seq, kind, key }) => [Number(seq), { kind, key }])),
    tokens: new Map(
      rows.map(({ hash, jti, client_id: clientId, exp, issued_seq }) => {
        const key = hash.toString('base64url');
        const isActive = !ended.has(key) && (cutOffs.get(clientId) ?? 0) <= Number(issued_seq) && exp > Date.now() / 1000;
        return [key, { jti, clientId, exp, isActive }];
      }),
    ),
  };
}

async function connections({ postgres, nodes }: Cluster): Promise<string[]> {
  const [found] = await postgres.query<{ all: number; stuck: number; locks: number }>(
    `select count(*)::int as all, count(*) filter (where state like 'idle in transaction%' and clock_timestamp() - state_change > '2 s')::int as stuck,
       (select count(*)::int from pg_locks where locktype = 'advisory') as locks
     from pg_stat_activity where application_name = 'auth'`,
  );
  const { all = 0, stuck = 0, locks = 0 } = found ?? {};
  return [
    ...(all > nodes.length * CONNECTIONS_MAX ? [`${all} connections to PostgreSQL of ${nodes.length} nodes`] : []),
    ...(stuck > 0 ? [`${stuck} transactions of nodes are open and idle`] : []),
    ...(locks > 0 ? [`${locks} advisory locks are held`] : []),
  ];
}

async function inEtcd(t: Cleanup, { etcd }: Cluster, truth: Truth, forged: ReadonlySet<string>): Promise<string[]> {
  const control = etcdClient(t, { endpoints: etcd.endpoints, deadlineMs: 10_000 });
  await control.isConnected(10_000);
  const [tokens, changes] = await Promise.all([control.range({ prefix: '/auth/tokens/' }), control.range({ prefix: '/auth/changes/' })]);
  control.close();
  const seal = openSeal([Buffer.from(ENCRYPTION_KEY, 'base64')], ISSUER);
  const own = ({ key }: { readonly key: Buffer }) => !forged.has(key.toString());
  const problems = tokens.kvs.filter(own).flatMap(({ key, value }) => {
    const hash = key.toString().slice('/auth/tokens/'.length) as TokenHash;
    const record = seal.openToken(value.toString(), hash, truth.epoch);
    const row = truth.tokens.get(hash);
    if (!record) return [`${key} in etcd cannot be opened`];
    const isSame = row?.jti === record.jti && row.clientId === record.clientId && row.exp === record.expiresAt;
    return isSame ? [] : [`${key} in etcd is not what PostgreSQL has`];
  });
  for (const { key, value } of changes.kvs.filter(own)) {
    const entry = JSON.parse(value.toString());
    const row = truth.changes.get(entry.seq);
    if (entry.epoch !== truth.epoch || row?.kind !== entry.kind || row?.key !== entry.key) problems.push(`${key} is not in the change log`);
  }
  return problems;
}

/** What the nodes' own audits have found. */
async function mismatches({ nodes }: Cluster): Promise<string[]> {
  const pages = await Promise.all(nodes.map(({ url }) => scrape(url)));
  return pages.flatMap(({ values }, node) =>
    [...values]
      .filter(([series, value]) => series.startsWith('auth_audit_mismatches_total') && value > 0)
      .map(([series]) => `node ${node} has ${series}`),
  );
}

/** Tokens are known by their form. */
function secretsIn({ nodes }: Cluster): string[] {
  return nodes.flatMap((node) => {
    const output = node.output();
    const found =
      /at_[A-Za-z0-9_-]{43}|eyJ[\w-]+\.[\w-]+\.[\w-]+/.test(output) ||
      output.includes(ADMIN.clientSecret) ||
      output.includes(ENCRYPTION_KEY);
    return found ? [`a token or a secret is in the log of node ${node.index}`] : [];
  });
}

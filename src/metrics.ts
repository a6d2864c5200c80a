/** What the parts of this server count, as metrics (docs/metrics.md): they keep plain numbers and know nothing of the format. */
import { type Amount, LEVELS, type MemoryNumbers } from './coherence/numbers.ts';
import type { Observer } from './coherence/ports.ts';
import type { Shared } from './etcd/shared.ts';
import type { Denials } from './http/denials.ts';
import { openDistribution } from './http/distribution.ts';
import type { Definition, Labels, Metrics, Sample } from './http/metrics.ts';
import type { Node } from './node.ts';
import type { Db } from './postgres/db.ts';
import { HORIZONS } from './postgres/expiring-secrets.ts';

/** Seconds: a look each 0.1 s, and a bound of 1 s by default. */
const AGES = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10];
const WAITS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5];
const STATES = ['none', 'connecting', 'connected', 'unreachable', 'refused'] as const;

type Read = Definition['read'];

/** Defines what a node tells while it works. @returns who is to be told */
export function observer({ define, defineHistogram }: Metrics): Observer {
  const ages = openDistribution(AGES);
  const waits = openDistribution(WAITS);
  const probes = { done: 0, failed: 0 };
  const ended = { acknowledgement: 0, time: 0 };
  defineHistogram('auth_freshness_reached_age_seconds', 'How old the proof of freshness had become when the next one replaced it.', [ages]);
  defineHistogram('auth_change_wait_seconds', 'How long a change of this node waited until no other node could answer from before it.', [
    waits,
  ]);
  const counter = counterOf(define);
  counter('auth_freshness_probes_total', 'Looks at the change log, by outcome.', () => by('outcome', probes));
  counter('auth_change_waits_total', 'Changes of this node that waited for the others, by what ended the wait.', () =>
    by('ended_by', ended),
  );
  return {
    proved(ageMs) {
      probes.done++;
      if (Number.isFinite(ageMs)) ages.observe(ageMs / 1000);
    },
    proofFailed() {
      probes.failed++;
    },
    settled(ms, endedBy) {
      waits.observe(ms / 1000);
      ended[endedBy]++;
    },
  };
}

/** Of the pools: from the beginning, whether PostgreSQL is there or not. */
export function definePools({ define }: Metrics, pools: Readonly<Record<string, Db>>): void {
  const each = (of: (db: Db) => number, labels: Labels = {}) =>
    Object.entries(pools).map(([pool, db]): Sample => ({ labels: { pool, ...labels }, value: of(db) }));
  define({
    name: 'auth_postgresql_connections',
    help: 'Connections to PostgreSQL.',
    type: 'gauge',
    read: () => [
      ...each((db) => db.connections().open - db.connections().idle, { state: 'used' }),
      ...each((db) => db.connections().idle, { state: 'idle' }),
    ],
  });
  define({
    name: 'auth_postgresql_waiting',
    help: 'Questions that wait for a connection to PostgreSQL.',
    type: 'gauge',
    read: () => each((db) => db.connections().waiting),
  });
}

export function defineDenials({ define }: Metrics, { unrecorded }: Denials): void {
  counterOf(define)('auth_denied_unrecorded_total', 'Refused management requests that have no row in the audit, by reason.', () =>
    by('reason', unrecorded),
  );
}

export function defineNode(metrics: Metrics, node: Node, maxStalenessMs: number): void {
  const { define } = metrics;
  const counter = counterOf(define);
  const gauge = (name: string, help: string, read: Read) => define({ name, help, type: 'gauge', read });
  const numbers = () => node.numbers();
  const amount = (what: string, name: string, of: (numbers: MemoryNumbers) => Amount) => {
    gauge(`auth_${name}`, `${what}.`, () => of(numbers()).count);
    gauge(`auth_${name}_bytes`, `${what}: the memory that they take.`, () => of(numbers()).bytes);
  };
  gauge('auth_fresh', '1: answers from memory are allowed; 0: each one waits for a look at the change log.', () =>
    Number(numbers().isFresh),
  );
  gauge('auth_freshness_age_seconds', 'How old what is answered from memory may be.', () => numbers().freshnessAgeMs / 1000);
  gauge('auth_freshness_age_limit_seconds', 'AUTH_MAX_STALENESS_MS.', () => maxStalenessMs / 1000);
  counter('auth_freshness_waits_total', 'Questions that had to wait for a look at the change log.', () => numbers().waits);
  gauge('auth_change_log_applied_position', 'Position of the change log up to which this node has applied it.', () => numbers().appliedSeq);
  gauge('auth_change_log_lag_entries', 'Positions of the change log, as of the last look, that are not applied yet.', () => numbers().lag);
  counter('auth_change_log_unheard_total', 'Changes that the log told before etcd did, or instead of it.', () => numbers().unheard);
  counter('auth_token_lookups_total', 'Look-ups of tokens, by who knew the record.', () =>
    LEVELS.map((level) => ({ labels: { level }, value: numbers().lookUps[level] })),
  );
  amount('Revoked tokens in memory', 'denied_tokens', ({ deniedTokens }) => deniedTokens);
  amount('Token records in memory', 'cached_tokens', ({ cachedTokens }) => cachedTokens);
  amount('Clients in memory', 'cached_clients', ({ cachedClients }) => cachedClients);
  counter('auth_audit_comparisons_total', 'Token records in memory that were compared with PostgreSQL.', () => node.audits.comparisons);
  counter('auth_audit_mismatches_total', 'Of these, those that were not the same. An alarm.', () => by('found', node.audits.mismatches));
  gauge('auth_client_secrets_expiring', 'Clients whose last secret ends within the time.', () =>
    HORIZONS.map((within) => ({ labels: { within }, value: node.expiringSecrets()?.[within] ?? Number.NaN })),
  );
  gauge('auth_feed_readers', 'Streams of the revocation feed.', () => node.feed.readers);
  counter('auth_feed_cut_off_total', 'Streams that were ended because their reader did not keep up.', () => node.feed.cutOff);
  gauge('auth_etcd_state', '1 for the state of the connection to etcd, 0 for the others.', () =>
    STATES.map((state) => ({ labels: { state }, value: Number(node.state().etcd === state) })),
  );
  if (node.shared) defineShared(metrics, node.shared);
}

function defineShared({ define }: Metrics, { counts, hasRoom }: Shared): void {
  const counter = counterOf(define);
  counter('auth_etcd_reads_total', 'Look-ups of tokens in etcd, by outcome.', () => by('outcome', counts.reads));
  counter('auth_etcd_transactions_total', 'Transactions with etcd, by outcome.', () => by('outcome', counts.transactions));
  counter('auth_etcd_dropped_writes_total', 'Writes to etcd that were not done: it is away or slow.', () => counts.dropped);
  counter('auth_etcd_ignored_messages_total', 'Messages on the bus that no node of this installation wrote.', () => counts.ignored);
  counter('auth_etcd_gaps_total', 'Times that the bus may have lost something.', () => counts.gaps);
  define({
    name: 'auth_etcd_has_room',
    help: '1: the cache in etcd is written to; 0: etcd is nearly full.',
    type: 'gauge',
    read: () => Number(hasRoom()),
  });
}

function counterOf(define: Metrics['define']): (name: string, help: string, read: Read) => void {
  return (name, help, read) => define({ name, help, type: 'counter', read });
}

function by(label: string, counts: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(counts).map(([value, count]) => ({ labels: { [label]: value }, value: count }));
}

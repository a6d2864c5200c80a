import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** What this node knows of itself. */
export interface NodeState {
  readonly isFresh: boolean;
  /** how old what it answers from is */
  readonly freshnessAgeMs: number;
  readonly appliedSeq: number;
  readonly lag: number;
  /** `none`: there is none in the configuration */
  readonly etcd: 'none' | 'connecting' | 'connected' | 'unreachable' | 'refused';
  /** `undefined`: it is not known which version it is */
  readonly isEtcdVersionGood: boolean | undefined;
}

/** `GET /health/live`: the process answers. */
export function live(): Response {
  return json({ status: 'live' });
}

/**
 * `GET /health/ready`: PostgreSQL answers, too, so this node is up to date; 503 otherwise. However often it is asked for, there
 * are forty looks a second at most. etcd is told of and decides nothing: without it the same is answered, only later.
 */
export async function ready(_call: Call, { ready: isReady, state }: HttpDeps): Promise<Response> {
  await isReady();
  const { isFresh, freshnessAgeMs, appliedSeq, lag, etcd, isEtcdVersionGood } = state();
  return json({
    status: 'ready',
    fresh: isFresh,
    freshness_age_ms: Math.round(freshnessAgeMs),
    applied_seq: appliedSeq,
    lag,
    etcd,
    ...(isEtcdVersionGood !== undefined && { etcd_version_ok: isEtcdVersionGood }),
  });
}

/** When secrets were last used: kept in memory on the way of a request, written together afterwards. */
import type { Db } from './db.ts';

export interface SecretUses {
  /** @param now epoch seconds */
  readonly used: (secretId: string, now: number) => void;
  /** Writes what was kept since the last time. @throws Unavailable — it is lost: a time that is some seconds old is not worth any effort */
  readonly write: () => Promise<void>;
}

/** A statement of so many takes some tens of milliseconds; those that wait for a connection are not kept waiting. */
const BATCH = 5_000;

export function secretUses(db: Pick<Db, 'query'>): SecretUses {
  const uses = new Map<string, number>();
  return {
    used: (secretId, now) => void uses.set(secretId, now),
    async write() {
      const kept = [...uses];
      uses.clear();
      for (let start = 0; start < kept.length; start += BATCH) await writeUses(db, kept.slice(start, start + BATCH));
    },
  };
}

/**
 * At most every minute for each secret, by whichever node. A row that a management change or another node has locked is passed over: who waits for no
 * lock cannot be part of a deadlock. It is no change of the client: nothing is appended to the log, and its version stays.
 */
async function writeUses(db: Pick<Db, 'query'>, uses: readonly (readonly [secretId: string, at: number])[]): Promise<void> {
  await db.query({
    name: 'write-secret-uses',
    text: `with used as (select id, to_timestamp(at) as at from unnest($1::uuid[], $2::bigint[]) as u (id, at)),
      due as (
        select s.id, used.at from client_secret s join used on used.id = s.id
        where s.last_used_at is null or s.last_used_at <= used.at - interval '1 minute'
        for no key update of s skip locked)
      update client_secret s set last_used_at = due.at from due where s.id = due.id`,
    values: [uses.map(([secretId]) => secretId), uses.map(([, at]) => at)],
  });
}

/**
 * Compares what memory would answer with the record, a few tokens each time. By design there is never a difference but one that is younger than the
 * last look at the change log, so any other is an alarm: a bug here, or a database that was changed behind the server's back.
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { AccessTokenStore } from '../core/ports.ts';
import type { TokenHash } from '../core/reference-token.ts';

export interface Audited {
  /** A record in memory, another one each time. */
  next(): AccessTokenRecord | undefined;
  /** What memory says now. */
  denies(record: AccessTokenRecord): boolean;
  /** Applies all that the change log has when this is called, or later. @throws Unavailable */
  prove(): Promise<void>;
  /** epoch seconds, by the change log's clock */
  now(): number;
}

/** What the record says, and memory does not. `missing`: there is no such token. `record`: its record is another one. */
export type Difference = 'missing' | 'record' | 'revoked' | 'active';

export interface Mismatch {
  readonly tokenHash: TokenHash;
  readonly found: Difference;
}

export interface Audit {
  readonly compared: number;
  readonly mismatches: readonly Mismatch[];
}

const AT_ONCE = 5;
/** Records of expired tokens stay in memory until there is no room; they are passed over. */
const LOOKED_AT_MAX = 100;

/** @param find asks the record, and no cache @throws Unavailable — nothing may be concluded */
export async function audit(audited: Audited, find: AccessTokenStore['find']): Promise<Audit> {
  const now = audited.now();
  const records: AccessTokenRecord[] = [];
  for (let looked = 0; looked < LOOKED_AT_MAX && records.length < AT_ONCE; looked++) {
    const record = audited.next();
    if (!record) break;
    if (record.expiresAt > now && !records.some(({ tokenHash }) => tokenHash === record.tokenHash)) records.push(record);
  }
  const mismatches: Mismatch[] = [];
  for (const record of records) {
    // Twice: the second look begins after a proof, so it is not on a connection to a database that is another one by now.
    if ((await compare(record, now, audited, find)) === undefined) continue;
    await audited.prove();
    const found = await compare(record, now, audited, find);
    if (found) mismatches.push({ tokenHash: record.tokenHash, found });
  }
  return { compared: records.length, mismatches };
}

async function compare(
  record: AccessTokenRecord,
  now: number,
  audited: Audited,
  find: AccessTokenStore['find'],
): Promise<Difference | undefined> {
  // Before: what is denied was committed, so the record has it, whereas a denial that arrives meanwhile may be younger than the answer.
  const wasDenied = audited.denies(record);
  const found = await find(record.tokenHash, now);
  if (!found) return 'missing';
  // By which secret it was asked for decides nothing, and what a node of an older version has put into the shared cache does not say it.
  if (!isSame({ ...found.record, secretId: record.secretId }, { secretId: undefined, ...record })) return 'record';
  if (wasDenied) return found.revoked ? undefined : 'active';
  if (!found.revoked) return undefined;
  // After: memory may lag behind the record, but not behind a look at the log that begins now.
  await audited.prove();
  return audited.denies(record) ? undefined : 'revoked';
}

/** JSON values; the order of an object's members says nothing, since `jsonb` has its own. */
function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one === other;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [members, others] = [new Map(Object.entries(one)), new Map(Object.entries(other))];
  return members.size === others.size && [...members].every(([name, value]) => others.has(name) && isSame(value, others.get(name)));
}

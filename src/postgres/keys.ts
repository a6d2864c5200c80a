/**
 * Signing keys and their schedule. The private part is encrypted (key-seal.ts) and never leaves this file but as a KeyObject. Whoever changes something
 * decides under a lock, by the database's clock: so there is one next key, whoever makes it, and however many do at once.
 */
import {
  type KeyChange,
  type KeyPlan,
  type KeyPolicy,
  keysWithoutUse,
  planKeys,
  planRotation,
  planSchedule,
  planStart,
} from '../core/key-schedule.ts';
import type { Actor, KeyStore, Rotated, StoredKey } from '../core/ports.ts';
import { generateSigningKey, type PublicJwk, publicJwk, type SigningAlg, type SigningKey } from '../core/signing-key.ts';
import { writeAudit } from './audit.ts';
import { type Announce, appendChange, changing } from './changes.ts';
import type { Db, Queries } from './db.ts';
import { DecryptionError, openKey, resealKey, sealKey } from './key-seal.ts';

interface KeyRow {
  /** of the database, whole seconds */
  readonly now: Date;
  /** null in all columns but `now`: there is no key */
  readonly kid: string | null;
  readonly alg: SigningAlg;
  readonly public_jwk: PublicJwk;
  readonly private_key: Buffer | null;
  readonly announced_at: Date;
  readonly active_from: Date;
  readonly ended_at: Date | null;
}

interface SealedKey extends StoredKey {
  readonly sealed: Buffer | undefined;
}

type Planned = SealedKey & KeyPlan;

export interface KeyDeps {
  readonly db: Db;
  /** the first encrypts, all decrypt */
  readonly encryptionKeys: readonly Buffer[];
  readonly policy: KeyPolicy;
  /** of each change, once it is durable */
  readonly announce: Announce;
}

export interface Tended {
  readonly made: string | undefined;
  /** now under the first encryption key */
  readonly resealed: readonly string[];
  /** those that sign or will, and that no encryption key opens */
  readonly unreadable: readonly string[];
}

const KEY_CHANGE_LOCK = 0x61757468_03n;

export function keyStore(deps: KeyDeps): KeyStore {
  // Kept: a node goes on with what it has opened, also when that is encrypted under a key by now that this node was not told of.
  const opened = new Map<string, SigningKey>();
  const opening = (key: SealedKey): StoredKey => ({
    ...key,
    open() {
      const known = opened.get(key.kid) ?? key.open();
      opened.set(key.kid, known);
      return known;
    },
  });
  return {
    list: async () => (await read(deps.db, deps.encryptionKeys)).records.map(opening),
    async rotate(rotation, actor) {
      const rotated = await change(deps, actor, (keys, nowMs) => planRotation(keys, rotation, deps.policy, nowMs));
      if (!rotated) throw new Error('a rotation leads to a key');
      return rotated;
    },
  };
}

/**
 * Makes the first key, or plans one of another algorithm when the configuration asks for it.
 *
 * @throws DecryptionError — the key that signs, or the next one, cannot be opened
 */
export async function ensureSigningKey(deps: KeyDeps): Promise<void> {
  await change(deps, undefined, (keys, nowMs) => {
    for (const key of keys) if (isOfUse(key)) key.open();
    return planStart(keys, deps.policy, nowMs);
  });
}

/** What time asks for: the next key, private keys that are done with, the encryption. To be called now and then, by any number of nodes. */
export async function tendKeys(deps: KeyDeps): Promise<Tended> {
  const { db, encryptionKeys, policy } = deps;
  const made = await change(deps, undefined, (keys, nowMs) => planSchedule(keys, policy, nowMs));
  await rank(db);
  const { records, nowMs } = await read(db, encryptionKeys);
  const keys = planKeys(records, nowMs);
  await erase(db, keysWithoutUse(keys, nowMs));
  const resealed: string[] = [];
  for (const { kid, sealed } of keys) {
    const anew = sealed && resealKey(kid, sealed, encryptionKeys);
    if (anew && (await replaceSealed(db, kid, sealed, anew))) resealed.push(kid);
  }
  const unreadable = keys.filter((key) => isOfUse(key) && !canOpen(key)).map(({ kid }) => kid);
  return { made: made?.key.kid, resealed, unreadable };
}

type Decide = (keys: readonly Planned[], nowMs: number) => KeyChange | undefined;

async function change(deps: KeyDeps, actor: Actor | undefined, decide: Decide): Promise<Rotated | undefined> {
  const { db, encryptionKeys, policy, announce } = deps;
  for (;;) {
    const before = await read(db, encryptionKeys);
    const known = planKeys(before.records, before.nowMs);
    const expected = decide(known, before.nowMs);
    if (!expected) return undefined;
    if (expected.kind === 'keep') return rotated(known, expected.kid, 'kept');
    // Before the transaction: an RSA key may take seconds, and a transaction that does nothing for one is ended.
    const made = expected.kind === 'make' ? await make(policy.alg, encryptionKeys) : undefined;
    const result = await changing(db, announce, async (tx, append) => {
      await tx.query({ text: 'select pg_advisory_xact_lock($1)', values: [KEY_CHANGE_LOCK] });
      const { records, nowMs } = await read(tx, encryptionKeys);
      const decided = decide(planKeys(records, nowMs), nowMs);
      if (!decided) return 'needless' as const;
      if (decided.kind === 'keep') return rotated(planKeys(records, nowMs), decided.kid, 'kept');
      let kid: string;
      if (decided.kind === 'move') kid = await move(tx, decided, actor);
      else if (made) kid = await insert(tx, decided, made, actor);
      else return 'again' as const; // the next key has become the signing key meanwhile
      append(await appendChange(tx, 'keys', kid));
      const after = await read(tx, encryptionKeys);
      return rotated(planKeys(after.records, nowMs), kid, decided.kind === 'move' ? 'moved' : 'made');
    });
    if (result === 'needless') return undefined;
    if (result !== 'again') return result;
  }
}

function rotated(keys: readonly Planned[], kid: string, outcome: Rotated['outcome']): Rotated {
  const key = keys.find((one) => one.kid === kid);
  if (!key) throw new Error('the key that was decided about is not there');
  return { key, outcome };
}

interface MadeKey extends SigningKey {
  readonly sealed: Buffer;
}

async function make(alg: SigningAlg, encryptionKeys: readonly Buffer[]): Promise<MadeKey> {
  const key = await generateSigningKey(alg);
  return { ...key, sealed: sealKey(key, encryptionKeys) };
}

async function read(
  on: Queries,
  encryptionKeys: readonly Buffer[],
): Promise<{ readonly records: readonly SealedKey[]; readonly nowMs: number }> {
  const rows = await on.query<KeyRow>({
    name: 'list-signing-keys',
    text: `select c.now, k.kid, k.alg, k.public_jwk, k.private_key, k.announced_at, k.active_from, k.ended_at
      from (select date_trunc('second', clock_timestamp()) as now) c left join signing_key k on true`,
  });
  const nowMs = rows[0]?.now.getTime() ?? 0;
  const records = rows.flatMap(({ kid, private_key, ...row }): SealedKey[] => {
    if (kid === null) return [];
    const sealed = private_key ?? undefined;
    const open = () => ({ kid, alg: row.alg, privateKey: openSealed(kid, sealed, encryptionKeys) });
    const times = { createdAt: row.announced_at, activeFrom: row.active_from, endedAt: row.ended_at ?? undefined };
    return [{ kid, alg: row.alg, publicJwk: row.public_jwk, ...times, sealed, open }];
  });
  return { records, nowMs };
}

type Made = Extract<KeyChange, { kind: 'make' }>;
type Moved = Extract<KeyChange, { kind: 'move' }>;

/** To servers of the version before the newest by `created_at` signs: one that is announced only has to come last for them. */
async function insert(tx: Queries, { activeFrom, ends }: Made, key: MadeKey, actor: Actor | undefined): Promise<string> {
  await tx.query({
    name: 'insert-signing-key',
    text: `insert into signing_key (kid, alg, public_jwk, private_key, active_from, created_at)
      values ($1, $2, $3, $4, $5, case when $5 > clock_timestamp() then '-infinity' else clock_timestamp() end)`,
    values: [key.kid, key.alg, publicJwk(key), key.sealed, activeFrom],
  });
  await writeAudit(tx, actor, 'keys.create', key.kid, { alg: key.alg, active_from: activeFrom.toISOString() });
  await tx.query({
    name: 'end-signing-keys',
    text: 'update signing_key set ended_at = clock_timestamp(), private_key = null where kid = any($1)',
    values: [ends],
  });
  for (const kid of ends) await writeAudit(tx, actor, 'keys.end', kid, { followed_by: key.kid });
  return key.kid;
}

async function move(tx: Queries, { kid, activeFrom }: Moved, actor: Actor | undefined): Promise<string> {
  await tx.query({ name: 'move-signing-key', text: 'update signing_key set active_from = $2 where kid = $1', values: [kid, activeFrom] });
  await writeAudit(tx, actor, 'keys.move', kid, { active_from: activeFrom.toISOString() });
  return kid;
}

/** See {@link insert}. */
async function rank(db: Queries): Promise<void> {
  await db.query({
    name: 'rank-signing-keys',
    text: "update signing_key set created_at = active_from where created_at = '-infinity' and active_from <= clock_timestamp()",
  });
}

async function erase(db: Queries, kids: readonly string[]): Promise<void> {
  await db.query({
    name: 'erase-signing-keys',
    text: 'update signing_key set private_key = null where kid = any($1) and private_key is not null',
    values: [kids],
  });
}

/** @returns `false` when another node has been quicker */
async function replaceSealed(db: Queries, kid: string, sealed: Buffer, anew: Buffer): Promise<boolean> {
  const rows = await db.query({
    name: 'reseal-signing-key',
    text: 'update signing_key set private_key = $3 where kid = $1 and private_key = $2 returning kid',
    values: [kid, sealed, anew],
  });
  return rows.length > 0;
}

function isOfUse({ state }: Planned): boolean {
  return state === 'active' || state === 'next';
}

function canOpen(key: Planned): boolean {
  try {
    key.open();
    return true;
  } catch (error) {
    if (error instanceof DecryptionError) return false;
    throw error;
  }
}

function openSealed(kid: string, sealed: Buffer | undefined, encryptionKeys: readonly Buffer[]): SigningKey['privateKey'] {
  if (!sealed) throw new Error(`the signing key ${kid} signs no more`);
  return openKey(kid, sealed, encryptionKeys);
}

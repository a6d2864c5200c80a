/**
 * The ports of src/core/ports.ts in memory, for tests of the core. They pass the contract suites of test/contracts as PostgreSQL's do,
 * so that what a test learns from them holds there as well.
 */
import { randomUUID } from 'node:crypto';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Client, ClientSecret, ClientSettings } from '../../src/core/clients.ts';
import { Problem } from '../../src/core/errors.ts';
import { planKeys } from '../../src/core/key-schedule.ts';
import type {
  AccessTokenStore,
  Actor,
  ChangeEntry,
  ChangeLog,
  ClientAdministration,
  ClientDirectory,
  NewSecret,
  RevocationStore,
  SigningKeys,
} from '../../src/core/ports.ts';
import type { TokenHash } from '../../src/core/reference-token.ts';
import type { Revocation } from '../../src/core/revocations.ts';
import { publicJwk, type SigningKey } from '../../src/core/signing-key.ts';

export interface Change {
  readonly seq: number;
  readonly kind: string;
  readonly key: string;
  readonly issuedBefore?: number | undefined;
}

export type Announce = (entry: ChangeEntry) => void;

export interface Audit {
  readonly action: string;
  readonly target: string;
  readonly actor: string | undefined;
  readonly address: string | undefined;
}

export interface MemoryStores {
  readonly directory: ClientDirectory;
  readonly administration: ClientAdministration;
  readonly tokens: AccessTokenStore;
  readonly revocations: RevocationStore;
  readonly log: ChangeLog;
  /** For one node, which is told what it has changed. */
  connect(announce: Announce): Pick<MemoryStores, 'administration' | 'tokens' | 'revocations'>;
  /** what was issued, by its hash */
  readonly issued: ReadonlyMap<TokenHash, AccessTokenRecord>;
  readonly changes: readonly Change[];
  readonly audits: readonly Audit[];
  /** Without a question to the directory. */
  clientNow(id: string): Client | undefined;
  /** @returns what brings everything back to how it is now: a fail-over to a standby that had got so far */
  mark(): () => void;
}

export interface MemoryStoresOptions {
  /** the log's clock */
  readonly nowMs?: () => number;
  readonly newId?: () => string;
}

/** Epoch seconds: long after everything that tests issue. */
const LATE = 4_000_000_000;
const EPOCH = Date.UTC(2027, 0, 15, 8);
const HISTORY = '11111111-1111-4111-8111-111111111111';

/** What ended so long ago is not in the log any more. */
const KEPT_SECONDS = 600;

export function memoryStores({ nowMs = () => EPOCH, newId = randomUUID }: MemoryStoresOptions = {}): MemoryStores {
  const clients = new Map<string, Client>();
  const deleted = new Set<string>();
  const issued = new Map<TokenHash, AccessTokenRecord>();
  const changes: Change[] = [];
  const audits: Audit[] = [];
  // Each call is a moment of its own, so that times order what was made.
  let moments = 0;
  const moment = () => new Date(EPOCH + ++moments);
  /** by position less one */
  const expiries: number[] = [];
  /** the same; what only this very entry has */
  const marks: string[] = [];
  const revoked = new Set<string>();
  const reasons = new Map<number, { readonly reason: string | undefined; readonly jti?: string; readonly at: Date }>();
  const kept = new Map<string, { readonly request: Buffer; readonly seq: number | undefined }>();
  const append = (kind: string, key: string, expiresAt: number, issuedBefore?: number): ChangeEntry => {
    const second = issuedBefore === undefined ? {} : { issuedBefore };
    changes.push({ seq: changes.length + 1, kind, key, ...second });
    expiries.push(expiresAt);
    marks.push(`${kind} ${key} ${++moments}`);
    if (kind === 'token') revoked.add(key);
    return { seq: changes.length, kind, key, expiresAt, ...second } as ChangeEntry;
  };

  type Commit = (actor: Actor, action: string, kind: string, target: string) => void;
  const committing =
    (announce: Announce): Commit =>
    (actor, action, kind, target) => {
      audits.push({ action, target, actor: actor.clientId, address: actor.address });
      announce(append(kind, target, LATE));
    };

  function secretOf({ name, verifier, expiresAt }: NewSecret): ClientSecret {
    return { id: newId(), name, verifier, createdAt: moment(), expiresAt, lastUsedAt: undefined };
  }

  const administrationOf = (commit: Commit): ClientAdministration => ({
    async list({ after = '', limit }, { text, scope, disabled } = {}) {
      const isListed = (client: Client | undefined) =>
        [client?.id, client?.registration.client_name].some((name) => `${name ?? ''}`.toLowerCase().includes(text?.toLowerCase() ?? '')) &&
        (scope === undefined || client?.scope.includes(scope)) &&
        (disabled === undefined || client?.disabled === disabled);
      const ids = [...clients.keys()].filter((id) => id > after && isListed(clients.get(id))).sort();
      return ids.slice(0, limit).flatMap((id) => clients.get(id) ?? []);
    },
    async insert(id, settings, secret, actor) {
      if (clients.has(id) || deleted.has(id)) return undefined;
      const now = moment();
      const secrets = secret ? [secretOf(secret)] : [];
      clients.set(id, { ...structuredClone(settings), id, version: 1, createdAt: now, createdBy: actor.clientId, updatedAt: now, secrets });
      commit(actor, 'client.create', 'client_record', id);
      return clients.get(id);
    },
    async update(id, change, actor) {
      const current = clients.get(id);
      if (!current) return undefined;
      const settings: ClientSettings = change(current);
      const { createdAt, createdBy, secrets, version } = current;
      clients.set(id, { ...structuredClone(settings), id, version: version + 1, createdAt, createdBy, secrets, updatedAt: moment() });
      commit(actor, 'client.update', settings.disabled && !current.disabled ? 'client' : 'client_record', id);
      return clients.get(id);
    },
    async delete(id, check, actor) {
      const current = clients.get(id);
      if (!current) return false;
      check(current);
      clients.delete(id);
      deleted.add(id);
      commit(actor, 'client.delete', 'client', id);
      return true;
    },
    async addSecret(id, newSecret, check, actor) {
      const current = clients.get(id);
      if (!current) return undefined;
      check(current);
      const at = moment();
      const { othersExpireAt: end } = newSecret;
      const others = current.secrets
        .filter(({ expiresAt }) => !expiresAt || expiresAt > at)
        .map((other) => (end && (!other.expiresAt || other.expiresAt > end) ? { ...other, expiresAt: end } : other));
      const secret = secretOf(newSecret);
      clients.set(id, { ...current, version: current.version + 1, secrets: [...others, secret] });
      commit(actor, 'client.secret.add', 'client_record', id);
      return secret;
    },
    async removeSecret(id, { secretId, tokens: theirs }, check, actor) {
      const current = clients.get(id);
      if (!current?.secrets.some((secret) => secret.id === secretId)) return false;
      check(current);
      const secrets = current.secrets.filter((secret) => secret.id !== secretId);
      clients.set(id, { ...current, version: current.version + 1, secrets });
      commit(actor, 'client.secret.remove', theirs === 'end' ? 'client' : 'client_record', id);
      return true;
    },
  });

  function hasEnded({ tokenHash, clientId, subject, issuedSeq, issuedAt }: AccessTokenRecord): boolean {
    const keys: Readonly<Record<string, string>> = { client: clientId, subject, all: '' };
    const cutsOff = ({ kind, key, seq, issuedBefore }: Change) =>
      keys[kind] === key && (issuedBefore === undefined ? seq > issuedSeq : issuedBefore > issuedAt);
    return revoked.has(tokenHash) || changes.some(cutsOff);
  }

  const tokensOf = (announce: Announce): AccessTokenStore => ({
    async insert(record) {
      issued.set(record.tokenHash, structuredClone(record));
    },
    async find(tokenHash, now) {
      const record = issued.get(tokenHash);
      if (!record || record.expiresAt <= now) return undefined;
      return { record, revoked: hasEnded(record) };
    },
    async revoke({ tokenHash, clientId, expiresAt }, by) {
      if (revoked.has(tokenHash)) return undefined;
      const entry = append('token', tokenHash, expiresAt);
      audits.push({ action: 'token.revoke', target: clientId, actor: by?.clientId, address: by?.address });
      announce(entry);
      reasons.set(entry.seq, { reason: undefined, jti: issued.get(tokenHash)?.jti ?? '', at: moment() });
      return entry;
    },
  });

  const revocationOf = (seq: number): Revocation => {
    const { kind, key, issuedBefore } = changes[seq - 1] as Change;
    const { reason, jti, at = new Date(EPOCH) } = reasons.get(seq) ?? {};
    return { seq, kind: kind as Revocation['kind'], key, jti, issuedBefore, reason, at, expiresAt: expiries[seq - 1] ?? 0 };
  };
  const revocationsOf = (announce: Announce): RevocationStore => ({
    async append({ target, reason }, actor, once) {
      const name = JSON.stringify([actor.clientId, once?.key]);
      const before = once && kept.get(name);
      if (before && !before.request.equals(once.request)) throw new Problem('idempotency_key_reused', 'used');
      let isNew = false;
      const end = (): number | undefined => {
        const record = target.kind === 'token' ? issued.get(target.tokenHash) : undefined;
        if (target.kind === 'token' ? !record || record.expiresAt <= nowMs() / 1000 : target.kind === 'client' && !clients.has(target.key))
          return undefined;
        audits.push({ action: 'revocation.add', target: record?.jti ?? '', actor: actor.clientId, address: actor.address });
        if (target.kind === 'token' && revoked.has(target.tokenHash))
          return changes.find(({ kind, key }) => kind === 'token' && key === target.tokenHash)?.seq;
        isNew = true;
        const entry =
          target.kind === 'token'
            ? append('token', target.tokenHash, record?.expiresAt ?? 0)
            : append(target.kind, target.key, LATE, target.issuedBefore);
        reasons.set(entry.seq, { reason, ...(record && { jti: record.jti }), at: moment() });
        announce(entry);
        return entry.seq;
      };
      const seq = before ? before.seq : end();
      if (once && !before) kept.set(name, { request: once.request, seq });
      return seq === undefined
        ? { outcome: 'nothing' }
        : { outcome: isNew ? 'ended' : 'ended_before', revocation: revocationOf(seq), epoch: HISTORY };
    },
    async count(target) {
      const isMeant = ({ tokenHash, clientId, subject, issuedAt }: AccessTokenRecord) => {
        if (target.kind === 'token') return tokenHash === target.tokenHash;
        if (issuedAt >= (target.issuedBefore ?? Number.POSITIVE_INFINITY)) return false;
        return target.kind === 'all' || target.key === (target.kind === 'client' ? clientId : subject);
      };
      return [...issued.values()].filter((record) => record.expiresAt > nowMs() / 1000 && isMeant(record) && !hasEnded(record)).length;
    },
    async list(after, limit) {
      const isLive = ({ kind, seq }: Change) =>
        ['token', 'client', 'subject', 'all'].includes(kind) && (expiries[seq - 1] ?? 0) > nowMs() / 1000;
      const found = changes.slice(after).filter(isLive).slice(0, limit);
      const revocations = found.map(({ seq }) => revocationOf(seq));
      const readTo = (revocations.length === limit ? revocations.at(-1)?.seq : undefined) ?? changes.length;
      return { epoch: HISTORY, lastSeq: changes.length, readTo, revocations };
    },
  });

  const directory: ClientDirectory = {
    async find(id) {
      const client = clients.get(id);
      return client && { client, asOfSeq: changes.length };
    },
  };
  const log: ChangeLog = {
    async read(after, count) {
      const readTo = Math.min(after + count, changes.length);
      const entries = changes
        .slice(after, readTo)
        .map((change) => ({ ...change, expiresAt: expiries[change.seq - 1] }) as ChangeEntry)
        .filter(({ expiresAt }) => expiresAt + KEPT_SECONDS > nowMs() / 1000);
      return {
        epoch: 'first',
        lastSeq: changes.length,
        readTo,
        nowMs: nowMs(),
        before: marks[after - 1],
        tail: marks[readTo - 1],
        entries,
      };
    },
  };
  const connect = (announce: Announce) => ({
    administration: administrationOf(committing(announce)),
    tokens: tokensOf(announce),
    revocations: revocationsOf(announce),
  });
  const mark = () => {
    const before = { clients: [...clients], deleted: [...deleted], issued: [...issued], revoked: [...revoked] };
    const lengths = [changes.length, audits.length] as const;
    return () => {
      for (const [kept, then] of [[clients, before.clients] as const, [issued, before.issued] as const]) {
        kept.clear();
        for (const [key, value] of then) (kept as Map<string, unknown>).set(key, value);
      }
      for (const [kept, then] of [[deleted, before.deleted] as const, [revoked, before.revoked] as const]) {
        kept.clear();
        for (const key of then) kept.add(key);
      }
      changes.length = lengths[0];
      expiries.length = lengths[0];
      marks.length = lengths[0];
      audits.length = lengths[1];
    };
  };
  return {
    directory,
    ...connect(() => undefined),
    connect,
    log,
    issued,
    changes,
    audits,
    clientNow: (id: string) => clients.get(id),
    mark,
  };
}

/** @param keys the signing key first */
export function memorySigningKeys(...keys: readonly [SigningKey, ...SigningKey[]]): SigningKeys {
  const records = keys.map((key, index) => {
    const since = new Date(EPOCH - index * 1000);
    return { kid: key.kid, alg: key.alg, publicJwk: publicJwk(key), createdAt: since, activeFrom: since, endedAt: undefined };
  });
  return { current: async () => keys[0], schedule: async () => planKeys(records, EPOCH) };
}

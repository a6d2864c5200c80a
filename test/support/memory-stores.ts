/**
 * The ports of src/core/ports.ts in memory, for tests of the core. They pass the contract suites of test/contracts as PostgreSQL's do,
 * so that what a test learns from them holds there as well.
 */
import { randomUUID } from 'node:crypto';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import type { Client, ClientSecret, ClientSettings } from '../../src/core/clients.ts';
import type {
  AccessTokenStore,
  Actor,
  ChangeEntry,
  ChangeLog,
  ClientAdministration,
  ClientDirectory,
  NewSecret,
  SigningKeys,
} from '../../src/core/ports.ts';
import type { TokenHash } from '../../src/core/reference-token.ts';
import { publicJwk, type SigningKey } from '../../src/core/signing-key.ts';

export interface Change {
  readonly seq: number;
  readonly kind: string;
  readonly key: string;
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
  readonly log: ChangeLog;
  /** For one node, which is told what it has changed. */
  connect(announce: Announce): Pick<MemoryStores, 'administration' | 'tokens'>;
  /** what was issued, by its hash */
  readonly issued: ReadonlyMap<TokenHash, AccessTokenRecord>;
  readonly changes: readonly Change[];
  readonly audits: readonly Audit[];
}

/** Epoch seconds: long after everything that tests issue. */
const LATE = 4_000_000_000;
const EPOCH = Date.UTC(2027, 0, 15, 8);

/** @param nowMs the log's clock */
export function memoryStores(nowMs = () => EPOCH): MemoryStores {
  const clients = new Map<string, Client>();
  const deleted = new Set<string>();
  const issued = new Map<TokenHash, AccessTokenRecord>();
  const changes: Change[] = [];
  const audits: Audit[] = [];
  // Each call is a moment of its own, so that times order what was made.
  let moments = 0;
  const moment = () => new Date(EPOCH + ++moments);
  const append = (kind: string, key: string) => changes.push({ seq: changes.length + 1, kind, key });

  type Commit = (actor: Actor, action: string, kind: string, target: string) => void;
  const committing =
    (announce: Announce): Commit =>
    (actor, action, kind, target) => {
      audits.push({ action, target, actor: actor.clientId, address: actor.address });
      append(kind, target);
      announce({ seq: changes.length, kind, key: target, expiresAt: LATE } as ChangeEntry);
    };

  function secretOf({ name, verifier, expiresAt }: NewSecret): ClientSecret {
    return { id: randomUUID(), name, verifier, createdAt: moment(), expiresAt, lastUsedAt: undefined };
  }

  const administrationOf = (commit: Commit): ClientAdministration => ({
    async list({ after = '', limit }) {
      const ids = [...clients.keys()].filter((id) => id > after).sort();
      return ids.slice(0, limit).flatMap((id) => clients.get(id) ?? []);
    },
    async insert(id, settings, secret, actor) {
      if (clients.has(id) || deleted.has(id)) return undefined;
      const now = moment();
      clients.set(id, { ...structuredClone(settings), id, createdAt: now, updatedAt: now, secrets: secret ? [secretOf(secret)] : [] });
      commit(actor, 'client.create', 'client_record', id);
      return clients.get(id);
    },
    async update(id, change, actor) {
      const current = clients.get(id);
      if (!current) return undefined;
      const settings: ClientSettings = change(current);
      const { createdAt, secrets } = current;
      clients.set(id, { ...structuredClone(settings), id, createdAt, secrets, updatedAt: moment() });
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
      const secret = secretOf(newSecret);
      clients.set(id, { ...current, secrets: [...current.secrets, secret] });
      commit(actor, 'client.secret.add', 'client_record', id);
      return secret;
    },
    async removeSecret(id, { secretId, tokens: theirs }, check, actor) {
      const current = clients.get(id);
      if (!current?.secrets.some((secret) => secret.id === secretId)) return false;
      check(current);
      clients.set(id, { ...current, secrets: current.secrets.filter((secret) => secret.id !== secretId) });
      commit(actor, 'client.secret.remove', theirs === 'end' ? 'client' : 'client_record', id);
      return true;
    },
  });

  const tokensOf = (announce: Announce): AccessTokenStore => ({
    async insert(record) {
      issued.set(record.tokenHash, structuredClone(record));
    },
    async find(tokenHash, now) {
      const record = issued.get(tokenHash);
      if (!record || record.expiresAt <= now) return undefined;
      const ends = ({ kind, key, seq }: Change) =>
        (kind === 'token' && key === tokenHash) || (kind === 'client' && key === record.clientId && seq > record.issuedSeq);
      return { record, revoked: changes.some(ends) };
    },
    async revoke({ tokenHash }) {
      if (changes.some(({ kind, key }) => kind === 'token' && key === tokenHash)) return undefined;
      append('token', tokenHash);
      const entry = { seq: changes.length, kind: 'token', key: tokenHash, expiresAt: LATE } as const;
      announce(entry);
      return entry;
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
      const entries = changes.filter(({ seq }) => seq > after && seq <= readTo);
      return {
        epoch: 'first',
        lastSeq: changes.length,
        readTo,
        nowMs: nowMs(),
        entries: entries.map((entry) => ({ ...entry, expiresAt: LATE }) as ChangeEntry),
      };
    },
  };
  const connect = (announce: Announce) => ({ administration: administrationOf(committing(announce)), tokens: tokensOf(announce) });
  return { directory, ...connect(() => undefined), connect, log, issued, changes, audits };
}

/** @param keys the signing key first */
export function memorySigningKeys(...keys: readonly [SigningKey, ...SigningKey[]]): SigningKeys {
  return { current: async () => keys[0], all: async () => keys.map(publicJwk) };
}

/** Everything that the core needs from outside, on one page. Adapters throw {@link Unavailable} for an outage, never an invented answer. */
import type { AccessTokenRecord } from './access-token.ts';
import type { ClientKey } from './client-keys.ts';
import type { Client, ClientSecret, ClientSettings, RegistrationAccess } from './clients.ts';
import type { Part } from './delegation.ts';
import type { KeyRecord, PlannedKey, Rotation } from './key-schedule.ts';
import type { TokenHash } from './reference-token.ts';
import type { InitialToken } from './registration.ts';
import type { Revocation, RevocationPage, RevocationTarget } from './revocations.ts';
import type { CataloguedScope } from './scope-catalogue.ts';
import type { SigningKey } from './signing-key.ts';

/** Why there is no answer. A closed list, because it is counted (docs/metrics.md). */
export const OUTAGE_REASONS = [
  /** it does not answer, or refuses */
  'postgresql',
  /** too many wait for it already */
  'queue_full',
  /** this node cannot prove that it is up to date */
  'not_fresh',
  /** the change log is not the one that was followed */
  'history_changed',
  'not_started',
  /** a client's `jwks_uri` does not answer as it should */
  'client_keys',
] as const;

export type OutageReason = (typeof OUTAGE_REASONS)[number];

/** A store that does not answer, or whose answer is unknown: 503 with `Retry-After`, and nothing may be concluded from it. */
export class Unavailable extends Error {
  readonly reason: OutageReason;
  constructor(message: string, { cause, reason = 'postgresql' }: { readonly cause?: unknown; readonly reason?: OutageReason } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** A client as of a position in the change log, so that an issue racing with a cut-off loses (docs/architecture.md). */
export interface KnownClient {
  readonly client: Client;
  /** last sequence number of the change log in the snapshot that the record was read from */
  readonly asOfSeq: number;
}

export interface ClientDirectory {
  /** @returns `undefined` for an id that was never given or whose client was deleted */
  find(clientId: string): Promise<KnownClient | undefined>;
}

/**
 * The keys at a client's `jwks_uri`, from memory or fetched.
 *
 * @param kid the one that is wanted: if it is not among those in memory, there may be newer ones
 * @throws Unavailable — there is no telling which keys the client has
 */
export type ClientKeysAt = (uri: string, kid: string | undefined) => Promise<readonly ClientKey[]>;

/** One use of a client assertion. */
export interface SpentAssertion {
  readonly clientId: string;
  readonly jtiHash: Buffer;
  /** epoch seconds: from when on nobody accepts it any more */
  readonly endsAt: number;
}

/**
 * Resolves once that is durable.
 *
 * @returns `false`: it was used before
 * @throws Unavailable — nobody knows: it must not be accepted
 */
export type SpendAssertion = (assertion: SpentAssertion) => Promise<boolean>;

/** Who asks for something, and from where: goes to the audit. */
export interface Origin {
  /** `undefined`: nobody knows */
  readonly clientId: string | undefined;
  readonly address: string | undefined;
  /** of the client, that it has authenticated with, or was given its token by; `undefined`: without one, or nobody knows */
  readonly secretId?: string | undefined;
  /** of the request, as its answer says */
  readonly requestId?: string | undefined;
}

/** Who makes a management change. */
export interface Actor extends Origin {
  readonly clientId: string;
  readonly scope: readonly string[];
}

export interface AuditLog {
  /** by their ids, newest first; with `from.after`, oldest first. Who has seen an id has seen all before it */
  read(query: AuditQuery): Promise<readonly AuditEntry[]>;
  /** A management request that was refused. Its target is the client of its path if there is, or was, one of this id, else the route. */
  denied(origin: Origin, path: DeniedPath, detail: object): Promise<void>;
}

export interface DeniedPath {
  readonly route: string;
  /** as it was sent: a secret that was put into the path by mistake looks like an id, too */
  readonly clientId: string | undefined;
}

/** `undefined`: whatever it is */
export interface AuditQuery {
  readonly actor: string | undefined;
  readonly action: { readonly is: string; readonly beginsWith?: never } | { readonly is?: never; readonly beginsWith: string } | undefined;
  readonly target: string | undefined;
  readonly since: Date | undefined;
  /** not included */
  readonly until: Date | undefined;
  /** ids, not included */
  readonly from: { readonly before: number | undefined; readonly after: number | undefined };
  readonly limit: number;
}

/** Without a client and an address: the server itself. */
export interface AuditEntry extends Origin {
  readonly id: number;
  readonly at: Date;
  readonly action: string;
  readonly target: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * Each call is one transaction with its change-log and audit rows, or nothing. What the actor does not administer is not there for him, and a client that
 * would be a way out of his limits is refused, as is the end of the last administrator (src/core/delegation.ts).
 */
export interface ClientAdministration {
  /** in the order of client ids, after `after`; without secrets' verifiers being of any use to a caller */
  list(page: { readonly after: string | undefined; readonly limit: number }, filter?: ClientFilter): Promise<readonly Client[]>;
  /**
   * @param once who repeats a request gets the client that it made, as it was then, and its secrets without their verifiers
   * @returns `undefined` when the id is in use or was used by a deleted client
   * @throws Problem `idempotency_key_reused`
   */
  insert(id: string, settings: ClientSettings, secret: NewSecret | undefined, actor: Actor, once?: Once): Promise<Client | undefined>;
  /**
   * @param change from the locked current record to the new settings; may throw to refuse. Turning `disabled` on ends all tokens of the client.
   * @returns `undefined` when there is no such client
   */
  update(id: string, change: (current: Client) => ClientSettings, actor: Actor): Promise<Client | undefined>;
  /** Ends all tokens of the client; its id is never given again. @param check may throw to refuse */
  delete(id: string, check: (current: Client) => void, actor: Actor): Promise<boolean>;
  /**
   * Removes those that have ended.
   *
   * @param check may throw to refuse
   * @param once who repeats a request gets the secret that it made, without its verifier
   * @returns `undefined` when there is no such client
   * @throws Problem `idempotency_key_reused`
   */
  addSecret(
    id: string,
    secret: FurtherSecret,
    check: (current: Client) => void,
    actor: Actor,
    once?: Once,
  ): Promise<ClientSecret | undefined>;
  /** @returns `false` when there is no such secret */
  removeSecret(id: string, secret: EndedSecret, check: (current: Client) => void, actor: Actor): Promise<boolean>;
}

/** All of what is given has to hold. */
export interface ClientFilter {
  /** is in the client's id or name, whatever the case of its letters; without control characters */
  readonly text?: string | undefined;
  /** a scope token that it is registered for */
  readonly scope?: string | undefined;
  readonly disabled?: boolean | undefined;
  /** whom the asker administers; `undefined`: all */
  readonly part?: Part | undefined;
}

/** Each change is one transaction with its audit row, or nothing. A part bounds which clients are counted and named. */
export interface ScopeCatalogue {
  /** in the order of names, after `after` */
  list(page: { readonly after: string | undefined; readonly limit: number }, part: Part | undefined): Promise<readonly CataloguedScope[]>;
  find(name: string, part: Part | undefined): Promise<CataloguedScope | undefined>;
  /** ids, in their order, of the clients that hold it */
  holders(
    name: string,
    page: { readonly after: string | undefined; readonly limit: number },
    part: Part | undefined,
  ): Promise<readonly string[]>;
  /** @returns `undefined` when it is there @throws Problem `insufficient_scope` — the actor administers a part only; so with the others */
  add(scope: Pick<CataloguedScope, 'name' | 'description'>, actor: Actor): Promise<CataloguedScope | undefined>;
  /** @returns `undefined` when there is no such scope */
  describe(name: string, description: string | undefined, actor: Actor): Promise<CataloguedScope | undefined>;
  remove(name: string, actor: Actor): Promise<'removed' | 'held' | 'absent'>;
}

export interface EndedSecret {
  readonly secretId: string;
  /** what becomes of the client's tokens; by which secret one was asked for is not recorded, so it is all or none */
  readonly tokens: 'keep' | 'end';
}

export interface NewSecret {
  readonly name: string | undefined;
  /** see {@link ClientSecret.verifier} */
  readonly verifier: string;
  readonly expiresAt: Date | undefined;
}

/** A client that registers itself. */
export interface NewRegistration {
  readonly id: string;
  readonly settings: ClientSettings;
  readonly secret: NewSecret;
  readonly access: RegistrationAccess;
}

export interface RegistrationStore {
  /**
   * One transaction with its change-log and audit rows and the use of the initial access token, or nothing.
   *
   * @returns `undefined`: that token has ended, or all its uses are spent
   */
  register(registration: NewRegistration, origin: Origin): Promise<Client | undefined>;
}

/** Initial access tokens. Each change is one transaction with its audit row, or nothing. */
export interface InitialTokenStore {
  /** @returns `undefined` for one that is not there, has ended, or is spent */
  find(verifier: string): Promise<InitialToken | undefined>;
  /** in the order of their ids, after `after` */
  list(page: { readonly after: string | undefined; readonly limit: number }): Promise<readonly InitialToken[]>;
  /** @param verifier see {@link ClientSecret.verifier} */
  insert(token: Pick<InitialToken, 'name' | 'scope' | 'uses' | 'expiresAt'>, verifier: string, actor: Actor): Promise<InitialToken>;
  /** @returns `false` when there is no such token */
  delete(id: string, actor: Actor): Promise<boolean>;
}

/** What an `Idempotency-Key` stands for. Kept for a day. */
export interface Once {
  readonly key: string;
  /** SHA-256 of all that was asked for */
  readonly request: Buffer;
}

/** `nothing`: no such token or client is there */
export type RevocationOutcome =
  | { readonly outcome: 'ended' | 'ended_before'; readonly revocation: Revocation; readonly epoch: string }
  | { readonly outcome: 'nothing' };

/** Each call is one transaction with its change-log and audit rows, or nothing. */
export interface RevocationStore {
  /**
   * Ends the tokens by one row, whatever their number. Who repeats a request, or ends what had ended, hears of the first time.
   *
   * @throws Problem `idempotency_key_reused`
   */
  append(
    order: { readonly target: RevocationTarget; readonly reason: string | undefined },
    actor: Actor,
    once: Once | undefined,
  ): Promise<RevocationOutcome>;
  /** How many tokens are alive that it would end. Takes the time that counting takes. */
  count(target: RevocationTarget): Promise<number>;
  /** Those after a position that could still end something alive. Fewer than `limit` may be followed by more: see {@link RevocationPage.readTo} */
  list(after: number, limit: number): Promise<RevocationPage>;
}

/** One that comes to others. */
export interface FurtherSecret extends NewSecret {
  /** when the others end that would live longer; `undefined`: they stay as they are */
  readonly othersExpireAt?: Date | undefined;
}

export interface AccessTokenStore {
  /**
   * Resolves once the record is durable.
   *
   * @param limit so many tokens of the client may be alive, this one among them
   * @throws TooManyTokens
   */
  insert(record: AccessTokenRecord, limit?: number): Promise<void>;
  /**
   * @param now epoch seconds
   * @returns `undefined` for a token that was never issued or has expired
   */
  find(tokenHash: TokenHash, now: number): Promise<{ readonly record: AccessTokenRecord; readonly revoked: boolean } | undefined>;
  /**
   * Appends to the change log unless it is there already, and then to the audit; resolves once that is durable.
   *
   * @param by `undefined`: the server itself
   * @returns what was appended to the change log
   */
  revoke(record: AccessTokenRecord, by?: Origin): Promise<ChangeEntry | undefined>;
}

/** One entry of the change log: what ended, or what is to be read again. */
export type ChangeEntry = {
  readonly seq: number;
  /** epoch seconds: when nothing that it could end is alive any more */
  readonly expiresAt: number;
} & (
  | { readonly kind: 'token'; readonly key: TokenHash }
  /** What was issued before `seq` ends, or before the second `issuedBefore`: of a client, whose record may have changed; of a subject; of all, by time only. */
  | { readonly kind: 'client' | 'subject' | 'all'; readonly key: string; readonly issuedBefore?: number | undefined }
  /** The client's record changed. */
  | { readonly kind: 'client_record'; readonly key: string }
  | { readonly kind: 'keys'; readonly key: string }
);

/** The change log, in the order of the commits (docs/decisions/0004). */
export interface ChangeLog {
  /**
   * @param count of positions after `after`, however many of them still matter
   * @returns one snapshot
   */
  read(after: number, count: number): Promise<ChangePage>;
}

export interface ChangePage {
  /** names the history; another one is another database, or one that was restored */
  readonly epoch: string;
  /** position of the whole log */
  readonly lastSeq: number;
  /** position up to which this page goes */
  readonly readTo: number;
  /** the store's clock, milliseconds since the epoch */
  readonly nowMs: number;
  /** what the entry at `after` was, in words that no other entry has; `undefined`: there is none */
  readonly before: string | undefined;
  /** the same of the entry at `readTo` */
  readonly tail: string | undefined;
  /** those that could still end something alive */
  readonly entries: readonly ChangeEntry[];
}

export interface SigningKeys {
  /** the key that signs now */
  current(): Promise<SigningKey>;
  /** all that there are, with what they are by now: the signing key first */
  schedule(): Promise<readonly PlannedKey[]>;
}

export interface StoredKey extends KeyRecord {
  /** @throws Error — it signs no more, or cannot be decrypted */
  readonly open: () => SigningKey;
}

/** Signing keys as they are stored. Each change is one transaction with its change-log and audit rows, or nothing. */
export interface KeyStore {
  /** all that there are, in any order */
  list(): Promise<readonly StoredKey[]>;
  /** @throws Problem — see `planRotation` */
  rotate(rotation: Rotation, actor: Actor): Promise<Rotated>;
}

export interface Rotated {
  /** the one that is next, or signs by now */
  readonly key: PlannedKey;
  readonly outcome: 'made' | 'moved' | 'kept';
}

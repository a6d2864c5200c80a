/** Everything that the core needs from outside, on one page. Adapters throw {@link Unavailable} for an outage, never an invented answer. */
import type { AccessTokenRecord } from './access-token.ts';
import type { Client, ClientSecret, ClientSettings } from './clients.ts';
import type { TokenHash } from './reference-token.ts';
import type { PublicJwk, SigningKey } from './signing-key.ts';

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

/** Who makes a management change, and from where: goes to the audit. */
export interface Actor {
  readonly clientId: string;
  readonly scope: readonly string[];
  /** `undefined`: the server itself, at its start */
  readonly address: string | undefined;
}

/** Each call is one transaction with its change-log and audit rows, or nothing. */
export interface ClientAdministration {
  /** in the order of client ids, after `after`; without secrets' verifiers being of any use to a caller */
  list(page: { readonly after: string | undefined; readonly limit: number }, filter?: ClientFilter): Promise<readonly Client[]>;
  /** @returns `undefined` when the id is in use or was used by a deleted client */
  insert(id: string, settings: ClientSettings, secret: NewSecret | undefined, actor: Actor): Promise<Client | undefined>;
  /**
   * @param change from the locked current record to the new settings; may throw to refuse. Turning `disabled` on ends all tokens of the client.
   * @returns `undefined` when there is no such client
   */
  update(id: string, change: (current: Client) => ClientSettings, actor: Actor): Promise<Client | undefined>;
  /** Ends all tokens of the client; its id is never given again. @param check may throw to refuse */
  delete(id: string, check: (current: Client) => void, actor: Actor): Promise<boolean>;
  /** Removes those that have ended. @param check may throw to refuse @returns `undefined` when there is no such client */
  addSecret(id: string, secret: FurtherSecret, check: (current: Client) => void, actor: Actor): Promise<ClientSecret | undefined>;
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

/** One that comes to others. */
export interface FurtherSecret extends NewSecret {
  /** when the others end that would live longer; `undefined`: they stay as they are */
  readonly othersExpireAt?: Date | undefined;
}

export interface AccessTokenStore {
  /** Resolves once the record is durable. */
  insert(record: AccessTokenRecord): Promise<void>;
  /**
   * @param now epoch seconds
   * @returns `undefined` for a token that was never issued or has expired
   */
  find(tokenHash: TokenHash, now: number): Promise<{ readonly record: AccessTokenRecord; readonly revoked: boolean } | undefined>;
  /** Appends to the change log unless it is there already; resolves once that is durable. @returns what was appended */
  revoke(record: AccessTokenRecord): Promise<ChangeEntry | undefined>;
}

/** One entry of the change log: what ended, or what is to be read again. */
export type ChangeEntry = {
  readonly seq: number;
  /** epoch seconds: when nothing that it could end is alive any more */
  readonly expiresAt: number;
} & (
  | { readonly kind: 'token'; readonly key: TokenHash }
  /** `client`: all its tokens issued before `seq` end, and its record changed. `client_record`: its record changed. */
  | { readonly kind: 'client' | 'client_record'; readonly key: string }
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
  /** all that a verifier may need, the signing key first */
  all(): Promise<readonly PublicJwk[]>;
}

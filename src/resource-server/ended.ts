/**
 * What has ended, as the feed of revocations tells it (docs/revocation.md, "What an entry ends"). An entry stays until what it ends has expired. Entries
 * are numbered as they arrive: an answer of the server that was asked for later than an entry arrived knows of it.
 */
import type { VerifiedToken } from './verdict.ts';

/** An entry of the feed, as it is on the wire. */
export interface FeedEntry {
  readonly cursor: string;
  readonly exp: number;
  readonly revoked_at: string;
  readonly token_hash?: string;
  readonly jti?: string;
  readonly client_id?: string;
  readonly sub?: string;
  readonly all?: true;
  readonly issued_before?: number;
}

interface CutOff {
  issuedBefore: number;
  expiresAt: number;
  /** number of the last entry that is in it */
  number: number;
}

/** Clocks of two servers, and an issue that was under way: more than the largest bound of staleness of a server. */
const MARGIN_SECONDS = 120;
/** Beyond the end: a clock that was ahead for a while and is set back must not revive anything. */
const KEPT_SECONDS = 600;

const NOTHING: CutOff = { issuedBefore: 0, expiresAt: 0, number: 0 };

export class Ended {
  readonly #max: number;
  /** SHA-256 or `jti` → until when, epoch seconds */
  readonly #tokens = new Map<string, number>();
  readonly #clients = new Map<string, CutOff>();
  readonly #subjects = new Map<string, CutOff>();
  #all: CutOff = NOTHING;
  /** May have ended, or may not: by entries of a kind that is not known, and by those that were dropped. */
  #doubted: CutOff = NOTHING;
  #number = 0;
  #dropped = 0;

  /** @param max entries that are kept; of more the oldest are dropped */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#tokens.size + this.#clients.size + this.#subjects.size;
  }

  /** of the entry that arrived last */
  get number(): number {
    return this.#number;
  }

  /** how many were dropped before their time */
  get dropped(): number {
    return this.#dropped;
  }

  add(entry: FeedEntry): void {
    const { exp: expiresAt, issued_before: issuedBefore } = entry;
    const cutOff = issuedBefore === undefined ? undefined : { issuedBefore, expiresAt, number: ++this.#number };
    if (entry.token_hash !== undefined || (entry.jti !== undefined && !cutOff)) {
      for (const key of [entry.token_hash, entry.jti]) if (key !== undefined) this.#tokens.set(key, expiresAt);
    } else if (cutOff && entry.client_id !== undefined) merge(this.#clients, entry.client_id, cutOff);
    else if (cutOff && entry.sub !== undefined) merge(this.#subjects, entry.sub, cutOff);
    else if (cutOff && entry.all) this.#all = merged(this.#all, cutOff);
    else this.#doubted = merged(this.#doubted, cutOff ?? this.#allBefore(entry));
    this.#makeRoom();
  }

  /** Certainly dead, whoever says otherwise. */
  hasToken(hash: string, jti?: string): boolean {
    return this.#tokens.has(hash) || (jti !== undefined && this.#tokens.has(jti));
  }

  /** Whether an entry by time ends it, or may end it, one that arrived after the given number: it is to be asked for. */
  hasEndedByTime(token: VerifiedToken, since: number): boolean {
    return this.#isCutOff(token, since) || this.isDoubted(token, since);
  }

  /** Whether an entry by time ends it: to who cannot ask it is dead. */
  isCutOff(token: VerifiedToken): boolean {
    return this.#isCutOff(token, 0);
  }

  /** Whether it may have ended, and nothing here says so. */
  isDoubted({ issuedAt }: VerifiedToken, since = 0): boolean {
    return ends(this.#doubted, issuedAt, since);
  }

  #isCutOff({ clientId, subject, issuedAt }: VerifiedToken, since: number): boolean {
    return [this.#all, this.#clients.get(clientId), this.#subjects.get(subject)].some((cutOff) => ends(cutOff, issuedAt, since));
  }

  /** Forgets what ends nothing any more. @param now epoch seconds */
  sweep(now: number): void {
    const isOver = (expiresAt: number) => expiresAt + KEPT_SECONDS <= now;
    for (const [key, expiresAt] of this.#tokens) if (isOver(expiresAt)) this.#tokens.delete(key);
    for (const cutOffs of [this.#clients, this.#subjects]) {
      for (const [key, { expiresAt }] of cutOffs) if (isOver(expiresAt)) cutOffs.delete(key);
    }
  }

  clear(): void {
    this.#tokens.clear();
    this.#clients.clear();
    this.#subjects.clear();
    this.#all = NOTHING;
    this.#doubted = NOTHING;
    this.#dropped = 0;
  }

  /** Of a kind that is not known yet: whatever was issued before it may have ended. */
  #allBefore({ revoked_at: at, exp: expiresAt }: FeedEntry): CutOff {
    const seconds = Math.ceil(Date.parse(at) / 1000) + MARGIN_SECONDS;
    return { issuedBefore: Number.isFinite(seconds) ? seconds : Number.POSITIVE_INFINITY, expiresAt, number: ++this.#number };
  }

  #makeRoom(): void {
    for (const [key] of this.#tokens) {
      if (this.size <= this.#max) return;
      this.#tokens.delete(key);
      this.#dropped++;
    }
    for (const cutOffs of [this.#clients, this.#subjects]) {
      for (const [key, cutOff] of cutOffs) {
        if (this.size <= this.#max) return;
        cutOffs.delete(key);
        this.#dropped++;
        this.#doubted = merged(this.#doubted, { ...cutOff, number: ++this.#number });
      }
    }
  }
}

function ends(cutOff: CutOff | undefined, issuedAt: number, since: number): boolean {
  return cutOff !== undefined && cutOff.number > since && issuedAt < cutOff.issuedBefore;
}

function merge(cutOffs: Map<string, CutOff>, key: string, cutOff: CutOff): void {
  cutOffs.set(key, merged(cutOffs.get(key), cutOff));
}

/** Both at once: what the earlier of two ends, the later one ends as well. */
function merged(before: CutOff | undefined, { issuedBefore, expiresAt, number }: CutOff): CutOff {
  return {
    issuedBefore: Math.max(before?.issuedBefore ?? 0, issuedBefore),
    expiresAt: Math.max(before?.expiresAt ?? 0, expiresAt),
    number,
  };
}

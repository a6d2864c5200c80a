/**
 * Token records by their hash, bounded by bytes. Most of a record is the same for every token of a client, so that is kept once, and an entry is what
 * is left: 214 instead of 612 bytes of heap for a usual record. Packed into typed arrays it would be 76 bytes, for more code and no quicker look-up.
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { GenerationCache, type Part } from './generation-cache.ts';

/** What tokens of one client have in common. Frozen, at every depth: each record that comes out refers to it. */
type Shape = Pick<AccessTokenRecord, 'clientId' | 'subject' | 'scope' | 'audience' | 'claims' | 'secretId'>;

/** Its key is its JSON. */
interface SharedShape extends Part {
  readonly shape: Shape;
}

interface Entry extends Pick<AccessTokenRecord, 'jti' | 'issuedAt' | 'expiresAt' | 'issuedSeq'> {
  readonly shared: SharedShape;
}

/** Without the texts: map slot (28 to 56), entry (64), heads and padding of two strings (48), what V8 leaves unused. */
const ENTRY_BYTES = 156;
/** Without its JSON, which is kept, and whose values are kept again. */
const SHAPE_BYTES = 150;
const BYTES_PER_JSON_CHARACTER = 3;

export class TokenCache {
  readonly #entries: GenerationCache<TokenHash, Entry, SharedShape>;

  constructor(bytesMax: number) {
    const sizeOf = ({ jti }: Entry, tokenHash: TokenHash) => ENTRY_BYTES + jti.length + tokenHash.length;
    this.#entries = new GenerationCache(bytesMax, sizeOf, ({ shared }) => shared);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What the entries take, at most {@link TokenCache.constructor}'s bound; within 15 % of what is measured (`npm run bench:memory`). */
  get bytes(): number {
    return this.#entries.bytes;
  }

  /** @returns an object of the caller's own, whose parts are frozen */
  get(tokenHash: TokenHash): AccessTokenRecord | undefined {
    const entry = this.#entries.get(tokenHash);
    return entry && recordOf(tokenHash, entry);
  }

  /** The next one on an endless way through all of them; it does not count as used. */
  next(): AccessTokenRecord | undefined {
    const next = this.#entries.next();
    return next && recordOf(...next);
  }

  /** Keeps nothing of the record that could be changed through it. */
  set({ tokenHash, jti, issuedAt, expiresAt, issuedSeq, clientId, subject, scope, audience, claims, secretId }: AccessTokenRecord): void {
    const key = JSON.stringify({ clientId, subject, scope, audience, claims, secretId } satisfies Shape);
    const shared = this.#entries.part(key) ?? sharedShape(key);
    this.#entries.set(tokenHash, { shared, jti, issuedAt, expiresAt, issuedSeq });
  }

  clear(): void {
    this.#entries.clear();
  }
}

function recordOf(tokenHash: TokenHash, { jti, issuedAt, expiresAt, issuedSeq, shared }: Entry): AccessTokenRecord {
  const { clientId, subject, scope, audience, claims, secretId } = shared.shape;
  return { tokenHash, jti, clientId, subject, scope, audience, claims, issuedAt, expiresAt, issuedSeq, secretId };
}

/** From the JSON, so that nothing refers to a request or a database row. Claims are JSON from their beginning. */
function sharedShape(key: string): SharedShape {
  return { key, shape: deepFreeze(JSON.parse(key) as Shape), bytes: SHAPE_BYTES + key.length * BYTES_PER_JSON_CHARACTER };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}

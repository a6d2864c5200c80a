/** One case of `npm run bench:memory`, a process of its own: what a filled deny set or token cache takes, and how long a look into it. */
import { randomBytes, randomUUID } from 'node:crypto';
import { DenySet } from '../src/coherence/deny-set.ts';
import { TokenCache } from '../src/coherence/token-cache.ts';
import type { AccessTokenRecord } from '../src/core/access-token.ts';
import type { TokenHash } from '../src/core/reference-token.ts';
import { median } from './report.ts';

export interface MemoryOrder {
  readonly kind: 'denied' | 'cached';
  readonly tokens: number;
  /** distinct; each has a scope, an audience and claims of its own */
  readonly clients: number;
}

export interface MemoryResult extends MemoryOrder {
  /** what the structure itself says */
  readonly countedBytes: number;
  /** difference to before: used heap and what is outside of it, after a full collection */
  readonly heapBytes: number;
  /** difference to before: the resident set */
  readonly rssBytes: number;
  readonly hitNs: number;
  readonly missNs: number;
  /** the longest that one entry took to get in: a table that grows, or a collection */
  readonly worstSetMs: number;
  /** a full garbage collection with it in memory, nothing concurrent */
  readonly collectionMs: number;
}

/** What is measured: both have an entry for each token, and are asked for one. */
interface Filled {
  readonly bytes: number;
  readonly size: number;
  /** @param n which token */
  put(n: number): void;
  has(tokenHash: TokenHash): boolean;
}

const HASH_BYTES = 32;
const WARM_UP = 200_000;
/** One generation of the cache holds all, so that no look moves an entry. */
const CACHE_BYTES_MAX = 1_000_000_000;
const LOOKS = 1 << 18;
/** Keys are made outside of what is timed, and are warm when they are used, as after hashing a token. */
const BATCH = 256;
const ROUNDS = 5;
const NOW = 1_800_000_000;

process.on('message', (order: MemoryOrder) => process.send?.(run(order), () => process.exit()));

function run(order: MemoryOrder): MemoryResult {
  const hashes = Buffer.concat(Array.from({ length: 64 }, () => randomBytes(Math.ceil(order.tokens / 64) * HASH_BYTES)));
  // Compiled code and a grown young generation of the heap are not the cache's.
  const rehearsal = open(order, hashes);
  for (let n = 0; n < WARM_UP; n++) rehearsal.put(n % order.tokens);
  const filled = open(order, hashes);
  const before = settledMemory();
  let worstSetMs = 0;
  for (let n = 0; n < order.tokens; n++) {
    const startedAt = performance.now();
    filled.put(n);
    worstSetMs = Math.max(worstSetMs, performance.now() - startedAt);
  }
  const after = settledMemory();
  if (filled.size !== order.tokens) throw new Error(`${filled.size} of ${order.tokens} are kept`);
  const hits = () => hashAt(hashes, Math.floor(Math.random() * order.tokens));
  const misses = () => randomBytes(HASH_BYTES).toString('base64url') as TokenHash;
  const hitNs = lookNs(filled, hits, true);
  const missNs = lookNs(filled, misses, false);
  const startedAt = performance.now();
  global.gc?.();
  return {
    ...order,
    countedBytes: filled.bytes,
    heapBytes: after.heap - before.heap,
    rssBytes: after.rss - before.rss,
    hitNs,
    missNs,
    worstSetMs,
    collectionMs: performance.now() - startedAt,
  };
}

function open({ kind, clients }: MemoryOrder, hashes: Buffer): Filled {
  if (kind === 'denied') {
    const denied = new DenySet();
    return {
      get bytes() {
        return denied.bytes;
      },
      get size() {
        return denied.size;
      },
      put: (n) => denied.denyToken(hashAt(hashes, n), NOW),
      has: (tokenHash) => denied.denies({ tokenHash, clientId: 'client', subject: 'client', issuedAt: NOW, issuedSeq: 1 }),
    };
  }
  const make = recordMaker(clients, hashes);
  const cache = new TokenCache(CACHE_BYTES_MAX);
  return {
    get bytes() {
      return cache.bytes;
    },
    get size() {
      return cache.size;
    },
    put: (n) => cache.set(make(n)),
    has: (tokenHash) => cache.get(tokenHash) !== undefined,
  };
}

/** Records as they come from PostgreSQL: no two have an object or a text in common. */
function recordMaker(clients: number, hashes: Buffer): (n: number) => AccessTokenRecord {
  const scratch = Buffer.alloc(64);
  return (n) => {
    const client = n % clients;
    const clientId = `client-${String(client).padStart(15, '0')}`;
    const audience = ['https://api.example.com/orders', 'https://billing.example.com'].slice(client % 2);
    const jti = randomUUID();
    // Until it is written somewhere it is a tree of its parts, which takes 490 bytes; in the server PostgreSQL comes before the cache.
    scratch.write(jti);
    const issuedAt = NOW + (n % 3_600);
    return {
      tokenHash: hashAt(hashes, n),
      jti,
      clientId,
      subject: clientId,
      scope: ['read', 'write', `orders:${client % 7}`],
      audience,
      claims: { tenant: `tenant-${client}`, tier: 'gold' },
      issuedAt,
      expiresAt: issuedAt + 3_600,
      issuedSeq: n,
    };
  };
}

function hashAt(hashes: Buffer, n: number): TokenHash {
  return hashes.toString('base64url', n * HASH_BYTES, (n + 1) * HASH_BYTES) as TokenHash;
}

/** @throws Error — an answer is not the expected one */
function lookNs(filled: Filled, key: () => TokenHash, expected: boolean): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    let ms = 0;
    for (let looks = 0; looks < LOOKS; looks += BATCH) {
      const keys = Array.from({ length: BATCH }, key);
      let right = 0;
      const startedAt = performance.now();
      for (const tokenHash of keys) if (filled.has(tokenHash) === expected) right++;
      ms += performance.now() - startedAt;
      if (right !== BATCH) throw new Error(`${BATCH - right} wrong answers`);
    }
    return (ms * 1e6) / LOOKS;
  });
  return median(rounds);
}

function settledMemory(): { readonly heap: number; readonly rss: number } {
  if (!global.gc) throw new Error('needs --expose-gc');
  for (let time = 0; time < 3; time++) global.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss };
}

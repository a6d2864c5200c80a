/**
 * What has ended, as far as this node knows: tokens by their hash, and what was issued before a cut-off. Grow-only until an entry's token
 * has expired, so entries may come twice, late or out of order, and the answer is the same (docs/coherence.md).
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { TokenHash } from '../core/reference-token.ts';
import { type CutOff, CutOffs, type Issued } from './cut-offs.ts';

/** 128 bits of the SHA-256 and when the token ends, epoch seconds: five words. A Set of strings takes 100 bytes an entry, this 25 to 38. */
const WORDS = 5;
const SHARDS = 64;
const SLOTS_MIN = 16;
const FILLED_MAX = 0.8;
const GROWTH = 1.5;
/** Kept beyond the token's end: a clock that is set back must not revive it. */
const KEPT_SECONDS = 600;

interface Shard {
  /** `WORDS` a slot; a slot whose expiry is 0 is empty */
  slots: Uint32Array;
  count: number;
}

export class DenySet {
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => emptyShard(SLOTS_MIN));
  readonly #cutOffs = new CutOffs();
  readonly #bytes = Buffer.alloc(32);

  /** Tokens that are denied by their hash. */
  get size(): number {
    return this.#shards.reduce((sum, { count }) => sum + count, 0);
  }

  /** What the tokens take. */
  get bytes(): number {
    return this.#shards.reduce((sum, { slots }) => sum + slots.byteLength, 0);
  }

  /** @param expiresAt epoch seconds: of the token */
  denyToken(tokenHash: TokenHash, expiresAt: number): void {
    const key = this.#keyOf(tokenHash);
    const shard = this.#shardOf(key);
    insert(shard, key, expiresAt);
    if (shard.count > (shard.slots.length / WORDS) * FILLED_MAX) resize(shard, () => true);
  }

  /** Ends all that was issued before it. */
  cutOff(cutOff: CutOff): void {
    this.#cutOffs.add(cutOff);
  }

  denies(issued: Issued & Pick<AccessTokenRecord, 'tokenHash'>): boolean {
    if (this.#cutOffs.end(issued)) return true;
    const key = this.#keyOf(issued.tokenHash);
    return find(this.#shardOf(key).slots, key) >= 0;
  }

  /** Forgets tokens that ended long ago. One shard a call, so that no call takes long. @param turn which one */
  prune(turn: number, now: number): void {
    const shard = this.#shards[turn % SHARDS];
    const isKept = (expiresAt: number) => expiresAt + KEPT_SECONDS > now;
    if (shard && hasEnded(shard, isKept)) resize(shard, isKept);
  }

  /** The first 128 bits. What it returns is overwritten by the next call. */
  #keyOf(tokenHash: TokenHash): Buffer {
    this.#bytes.write(tokenHash, 'base64url');
    return this.#bytes;
  }

  #shardOf(key: Buffer): Shard {
    const shard = this.#shards[(key[0] ?? 0) % SHARDS];
    if (!shard) throw new Error('no such shard');
    return shard;
  }
}

function emptyShard(capacity: number): Shard {
  return { slots: new Uint32Array(capacity * WORDS), count: 0 };
}

/** @returns where the key is, else the complement of where it would be */
function find(slots: Uint32Array, key: Buffer): number {
  const [a, b, c, d] = [key.readUInt32LE(0), key.readUInt32LE(4), key.readUInt32LE(8), key.readUInt32LE(12)];
  let at = (b % (slots.length / WORDS)) * WORDS;
  while (slots[at + 4] !== 0) {
    if (slots[at] === a && slots[at + 1] === b && slots[at + 2] === c && slots[at + 3] === d) return at;
    at = at + WORDS === slots.length ? 0 : at + WORDS;
  }
  return ~at;
}

function insert(shard: Shard, key: Buffer, expiresAt: number): void {
  const found = find(shard.slots, key);
  const at = found < 0 ? ~found : found;
  if (found < 0) {
    for (let word = 0; word < 4; word++) shard.slots[at + word] = key.readUInt32LE(word * 4);
    shard.count++;
  }
  shard.slots[at + 4] = Math.max(expiresAt, shard.slots[at + 4] ?? 0, 1);
}

function hasEnded({ slots }: Shard, isKept: (expiresAt: number) => boolean): boolean {
  for (let at = 4; at < slots.length; at += WORDS) if (slots[at] !== 0 && !isKept(slots[at] ?? 0)) return true;
  return false;
}

/** Makes room for what is kept and half as much again: less would count for less, but the C library keeps what was outgrown, and it is outgrown more often. */
function resize(shard: Shard, isKept: (expiresAt: number) => boolean): void {
  const { slots } = shard;
  const kept: number[] = [];
  for (let at = 0; at < slots.length; at += WORDS) {
    const expiresAt = slots[at + 4] ?? 0;
    if (expiresAt !== 0 && isKept(expiresAt)) kept.push(at);
  }
  const capacity = Math.max(SLOTS_MIN, Math.ceil((kept.length / FILLED_MAX) * GROWTH));
  const next = emptyShard(capacity);
  const key = Buffer.alloc(16);
  for (const at of kept) {
    for (let word = 0; word < 4; word++) key.writeUInt32LE(slots[at + word] ?? 0, word * 4);
    insert(next, key, slots[at + 4] ?? 0);
  }
  shard.slots = next.slots;
  shard.count = next.count;
}

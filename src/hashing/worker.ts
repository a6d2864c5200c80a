/** Computes the slow hashes of {@link ImportedHash}, one after the other, in a thread of its own. */
import { pbkdf2Sync, scryptSync, timingSafeEqual } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { compareSync } from 'bcryptjs';
import { BCRYPT_BYTES_MAX, type ImportedHash, parseImportedHash } from '../core/imported-hash.ts';

export interface Job {
  readonly id: number;
  readonly secret: string;
  readonly hash: string;
}

export interface Verdict {
  readonly id: number;
  readonly matches: boolean;
}

parentPort?.on('message', ({ id, secret, hash }: Job) => {
  const parsed = parseImportedHash(hash);
  parentPort?.postMessage({ id, matches: parsed !== undefined && matches(secret, parsed) } satisfies Verdict);
});

function matches(secret: string, hash: ImportedHash): boolean {
  // HMAC fills a short key up with NUL, and bcrypt repeats it with one in between: "abc\0" or "abc\0abc" would be as right as "abc", and, long enough, its
  // SHA-256 would take the place of the hash and shut "abc" out.
  if (secret.includes('\0')) return false;
  if (hash.kind === 'bcrypt') return Buffer.byteLength(secret) <= BCRYPT_BYTES_MAX && compareSync(secret, hash.text);
  if (hash.kind === 'pbkdf2')
    return timingSafeEqual(pbkdf2Sync(secret, hash.salt, hash.iterations, hash.key.length, hash.digest), hash.key);
  const { cost: N, blockSize: r, parallelization: p, salt, key } = hash;
  // What OpenSSL counts: N and two more blocks, and one for each of p. With less it throws, and the thread ends with all who wait for it.
  return timingSafeEqual(scryptSync(secret, salt, key.length, { N, r, p, maxmem: 128 * r * (N + p + 3) }), key);
}

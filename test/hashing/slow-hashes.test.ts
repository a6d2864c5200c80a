/** The thread that computes the hashes of other servers: P07, P08. */
import assert from 'node:assert/strict';
import { pbkdf2Sync, scryptSync } from 'node:crypto';
import { after, test } from 'node:test';
import { hashSync } from 'bcryptjs';
import { parseImportedHash } from '../../src/core/imported-hash.ts';
import { SlowHashes } from '../../src/hashing/slow-hashes.ts';

const hashes = new SlowHashes();
after(() => hashes.close());

const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
const SALT = Buffer.from('SodiumChloride');
/** @param N its logarithm */
const scrypt = (secret: string, N: number, r: number, p: number) =>
  `$scrypt$ln=${N},r=${r},p=${p}$${base64(SALT)}$${base64(scryptSync(secret, SALT, 32, { N: 2 ** N, r, p, maxmem: 2 ** 28 }))}`;
const pbkdf2 = (secret: string) => `$pbkdf2-sha256$i=10,l=32$${base64(SALT)}$${base64(pbkdf2Sync(secret, SALT, 10, 32, 'sha256'))}`;

for (const [N, r, p] of [
  [1, 1, 99],
  [4, 8, 16],
  [14, 8, 1],
  [15, 1, 1],
] as const) {
  test(`scrypt with ln=${N}, r=${r}, p=${p}: what can be imported can be computed, and ends nothing`, async () => {
    const others = [hashes.matches('other', 'secret', hashSync('secret', 8)), hashes.matches('other', 'secret', pbkdf2('secret'))];
    assert.equal(await hashes.matches('a', 'secret', scrypt('secret', N, r, p)), true);
    assert.equal(await hashes.matches('a', 'other', scrypt('secret', N, r, p)), false);
    assert.deepEqual(await Promise.all(others), [true, true]);
  });
}

test('scrypt that nobody computes cannot be imported (RFC 7914 §2: N below 2^(128 r / 8))', () => {
  const key = base64(Buffer.alloc(32, 1));
  assert.equal(parseImportedHash(`$scrypt$ln=16,r=1,p=1$${base64(SALT)}$${key}`), undefined);
  assert.ok(parseImportedHash(`$scrypt$ln=15,r=1,p=1$${base64(SALT)}$${key}`));
});

test('a secret that a hash cannot tell from the right one is wrong: filled up with NUL, or repeated after one', async () => {
  for (const hash of [pbkdf2('hunter2'), scrypt('hunter2', 4, 8, 1), hashSync('hunter2', 4)]) {
    assert.equal(await hashes.matches('a', 'hunter2', hash), true);
    for (const secret of ['hunter2\0', `hunter2${'\0'.repeat(40)}`, Array.from({ length: 5 }, () => 'hunter2').join('\0')])
      assert.equal(await hashes.matches('a', secret, hash), false, JSON.stringify(secret));
  }
});

test('PBKDF2 costs its iterations for each block of the key, so that is what is bounded (RFC 8018 §5.2)', () => {
  const hash = (digest: string, iterations: number, bytes: number) =>
    parseImportedHash(`$pbkdf2-${digest}$i=${iterations},l=${bytes}$${base64(SALT)}$${base64(Buffer.alloc(bytes, 1))}`);
  assert.ok(hash('sha1', 1_000_000, 20) && hash('sha512', 1_000_000, 64) && hash('sha1', 200_000, 96));
  assert.equal(hash('sha1', 200_001, 96), undefined);
  assert.equal(hash('sha512', 1_000_000, 65), undefined);
});

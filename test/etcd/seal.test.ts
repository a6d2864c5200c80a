/** What is written to etcd: encrypted, bound to its key, and believed only if a node of ours wrote it. */
import assert from 'node:assert/strict';
import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { compactDecrypt } from 'jose';
import { PROTOCOL_CLAIMS } from '../../src/core/access-token.ts';
import { hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import { openSeal } from '../../src/etcd/seal.ts';
import { tokenRecord } from '../contracts/stores.ts';

const ISSUER = 'https://auth.example.com';
const KEY = randomBytes(32);
const seal = openSeal([KEY], ISSUER);

test('a token comes back as it was, whatever its claims, scope and audience', () => {
  const texts = fc.array(
    fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes(' ')),
    { maxLength: 4 },
  );
  const names = fc.string({ minLength: 1 }).filter((name) => !PROTOCOL_CLAIMS.has(name) && name !== '__proto__');
  fc.assert(
    fc.property(
      texts,
      fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 4 }),
      fc.dictionary(names, fc.json()),
      (scope, audience, claims) => {
        const record = tokenRecord({
          scope,
          audience,
          claims: { ...claims },
          issuedSeq: 7,
          secretId: '5ad1f6ae-6ef1-4d2c-a3b0-6b3a4f1f6c0d',
        });
        assert.deepEqual(seal.openToken(seal.sealToken(record, 'e1'), record.tokenHash, 'e1'), record);
      },
    ),
  );
});

test('it is a compact JWE (RFC 7516) that another implementation opens', async () => {
  const record = tokenRecord();
  const master = Buffer.from(hkdfSync('sha256', KEY, '', 'auth etcd tokens', 32));
  const { plaintext, protectedHeader } = await compactDecrypt(
    seal.sealToken(record, 'e1'),
    createHmac('sha256', master).update(record.tokenHash).digest(),
  );
  const claims = JSON.parse(Buffer.from(plaintext).toString());
  assert.deepEqual([claims.iss, claims.jti, claims.client_id], [ISSUER, record.jti, record.clientId]);
  assert.deepEqual(protectedHeader, { alg: 'dir', enc: 'A256GCM', typ: 'JWT', epoch: 'e1', seq: 0 });
});

test('for another token, another history, another issuer or under another key it is nothing', () => {
  const record = tokenRecord();
  const jwe = seal.sealToken(record, 'e1');
  assert.ok(seal.openToken(jwe, record.tokenHash, 'e1'));
  assert.equal(seal.openToken(jwe, hashToken(mintReferenceToken()), 'e1'), undefined);
  assert.equal(seal.openToken(jwe, record.tokenHash, 'e2'), undefined);
  assert.equal(openSeal([KEY], 'https://other.example').openToken(jwe, record.tokenHash, 'e1'), undefined);
  assert.equal(openSeal([randomBytes(32)], ISSUER).openToken(jwe, record.tokenHash, 'e1'), undefined);
});

test('no changed byte, cut or text of elsewhere opens, and none throws', () => {
  const record = tokenRecord();
  const jwe = seal.sealToken(record, 'e1');
  for (let at = 0; at < jwe.length; at++) {
    const changed = jwe.slice(0, at) + (jwe[at] === 'A' ? 'B' : 'A') + jwe.slice(at + 1);
    const opened = seal.openToken(changed, record.tokenHash, 'e1');
    // The last character of a part may carry bits that base64url does not keep.
    assert.ok(
      opened === undefined ||
        Buffer.from(changed.split('.').at(-1) ?? '', 'base64url').equals(Buffer.from(jwe.split('.').at(-1) ?? '', 'base64url')),
    );
    assert.equal(seal.openToken(jwe.slice(0, at), record.tokenHash, 'e1'), undefined);
  }
  fc.assert(fc.property(fc.string(), (text) => seal.openToken(text, record.tokenHash, 'e1') === undefined));
  for (const text of ['', '....', 'e30..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA', `${jwe}.`])
    assert.equal(seal.openToken(text, record.tokenHash, 'e1'), undefined);
});

test('while a key is being changed, what either key sealed opens; the first one seals', () => {
  const record = tokenRecord();
  const next = randomBytes(32);
  const both = openSeal([next, KEY], ISSUER);
  assert.ok(both.openToken(seal.sealToken(record, 'e1'), record.tokenHash, 'e1'));
  assert.ok(both.isAuthentic('change', ['a'], seal.authenticate('change', ['a'])));
  assert.equal(seal.openToken(both.sealToken(record, 'e1'), record.tokenHash, 'e1'), undefined);
  assert.ok(openSeal([next], ISSUER).isAuthentic('change', ['a'], both.authenticate('change', ['a'])));
});

test('a message is authentic for its purpose and its parts only', () => {
  const mac = seal.authenticate('change', ['a', 'b']);
  assert.ok(seal.isAuthentic('change', ['a', 'b'], mac));
  for (const [purpose, parts] of [
    ['acknowledgement', ['a', 'b']],
    ['change', ['a,b']],
    ['change', ['ab', '']],
    ['change', ['a']],
  ] as const) {
    assert.equal(seal.isAuthentic(purpose, [...parts], mac), false);
  }
  for (const wrong of ['', 'x', mac.slice(0, -2), `${mac}AA`, openSeal([randomBytes(32)], ISSUER).authenticate('change', ['a', 'b'])]) {
    assert.equal(seal.isAuthentic('change', ['a', 'b'], wrong), false);
  }
});

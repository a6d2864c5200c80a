import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AccessToken, couldBeAccessToken, hashToken, isJwt, mintReferenceToken } from '../../src/core/reference-token.ts';

const ALPHABET = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'];
/** A token made from bytes that fast-check does not choose: the checksum has to hold for each. */
const minted = fc.constant(undefined).map(mintReferenceToken);

test('a reference token is at_, 256 random bits in base64url and 6 characters of checksum', () => {
  const tokens = Array.from({ length: 1000 }, mintReferenceToken);
  for (const token of tokens) {
    assert.match(token, /^at_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/);
    assert.equal(Buffer.from(token.slice(3, 46), 'base64url').toString('base64url'), token.slice(3, 46), '32 bytes, no stray bits');
    assert.ok(couldBeAccessToken(token));
    assert.ok(!isJwt(token));
  }
  assert.equal(new Set(tokens).size, 1000);
  // All of the 64 characters at all but the last place: no bit is stuck.
  for (const place of [3, 24, 44]) assert.ok(new Set(tokens.map((token) => token[place])).size > 50);
});

test('the checksum is CRC-32 in base 62, so that it can be computed elsewhere', () => {
  const known = `at_${'A'.repeat(43)}`;
  // python3: zlib.crc32(b'at_' + b'A' * 43), then base 62 with digits 0-9A-Za-z
  const checksum = '0GoeEA';
  assert.ok(couldBeAccessToken(known + checksum));
});

test('every single changed character is noticed', () => {
  fc.assert(
    fc.property(
      minted,
      fc.nat(),
      fc.oneof(fc.constantFrom(...ALPHABET), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })),
      (token, at, character) => {
        const place = at % token.length;
        fc.pre(token[place] !== character);
        assert.equal(couldBeAccessToken(token.slice(0, place) + character + token.slice(place + 1)), false);
      },
    ),
    { numRuns: 2000 },
  );
});

test('every changed case is noticed', () => {
  const token = mintReferenceToken();
  for (let place = 0; place < token.length; place++) {
    const character = token[place] ?? '';
    const other = character === character.toUpperCase() ? character.toLowerCase() : character.toUpperCase();
    if (other !== character) assert.equal(couldBeAccessToken(token.slice(0, place) + other + token.slice(place + 1)), false, `at ${place}`);
  }
  for (const changed of [token.toUpperCase(), token.toLowerCase()]) assert.equal(couldBeAccessToken(changed), false);
});

test('every truncation, every missing and every doubled character is noticed', () => {
  const token = mintReferenceToken();
  for (let place = 0; place < token.length; place++) {
    assert.equal(couldBeAccessToken(token.slice(0, place)), false, `cut at ${place}`);
    assert.equal(couldBeAccessToken(token.slice(place + 1)), false, `begun at ${place + 1}`);
    assert.equal(couldBeAccessToken(token.slice(0, place) + token.slice(place + 1)), false, `without ${place}`);
    assert.equal(couldBeAccessToken(token.slice(0, place) + token[place] + token.slice(place)), false, `${place} twice`);
  }
});

test('every extension is noticed', () => {
  fc.assert(
    fc.property(minted, fc.string({ unit: 'binary', minLength: 1 }), fc.boolean(), (token, extension, before) => {
      assert.equal(couldBeAccessToken(before ? extension + token : token + extension), false);
    }),
  );
  for (const end of ['\n', ' ', '\0', '=', '0']) assert.equal(couldBeAccessToken(mintReferenceToken() + end), false);
});

test('two neighbours that changed places are noticed', () => {
  fc.assert(
    fc.property(minted, fc.nat(), (token, at) => {
      const place = at % (token.length - 1);
      fc.pre(token[place] !== token[place + 1]);
      assert.equal(couldBeAccessToken(token.slice(0, place) + token[place + 1] + token[place] + token.slice(place + 2)), false);
    }),
  );
});

test('junk is refused', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => assert.equal(couldBeAccessToken(text), false)));
});

const [HEADER, PAYLOAD, SIGNATURE] = ['a'.repeat(20), 'b'.repeat(200), 'c'.repeat(86)];
for (const [why, text, could] of [
  ['a JWS', `${HEADER}.${PAYLOAD}.${SIGNATURE}`, true],
  ['of two parts', `${HEADER}.${PAYLOAD}`, false],
  ['of four parts', `${HEADER}.${PAYLOAD}.${SIGNATURE}.${SIGNATURE}`, false],
  ['a JWE', `${HEADER}.${HEADER}.${HEADER}.${PAYLOAD}.${HEADER}`, false],
  ['without a signature (alg none)', `${HEADER}.${PAYLOAD}.`, false],
  ['padded', `${HEADER}.${PAYLOAD}.${SIGNATURE}==`, false],
  ['with a line break', `${HEADER}.${PAYLOAD}.${SIGNATURE}\n`, false],
  ['with a space before', ` ${HEADER}.${PAYLOAD}.${SIGNATURE}`, false],
  ['with base64 instead of base64url', `${HEADER}.${PAYLOAD}+/.${SIGNATURE}`, false],
  ['empty', '', false],
] as const) {
  test(`a text with dots, ${why}: ${could ? 'could be' : 'cannot be'} an access token`, () => {
    assert.equal(couldBeAccessToken(text), could);
    if (could) assert.ok(isJwt(text as AccessToken));
  });
}

test('the hash is SHA-256 in base64url, 43 characters', () => {
  const token = mintReferenceToken();
  assert.equal(hashToken(token), createHash('sha256').update(token, 'ascii').digest('base64url'));
  assert.match(hashToken(token), /^[A-Za-z0-9_-]{43}$/);
  assert.equal(hashToken('abc' as AccessToken), 'ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0', 'the vector of FIPS 180-2 B.1');
});

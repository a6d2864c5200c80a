import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BearerError, OAuthError } from '../../src/core/errors.ts';
import { readBearer, readClientCredentials } from '../../src/http/credentials.ts';

const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64');
const header = (userPass: string | Uint8Array) => `Basic ${base64(userPass)}`;
const basic = (clientId: string, ...secrets: readonly string[]) => ({ method: 'client_secret_basic', clientId, secrets });

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

type Expected = object | undefined | 'invalid_request' | 'invalid_client';
const CASES: readonly [why: string, authorization: string | null, form: Readonly<Record<string, string>>, expected: Expected][] = [
  ['nothing', null, {}, undefined],
  ['Basic', header('billing:secret'), {}, basic('billing', 'secret')],
  ['Basic of another case', `bAsIc ${base64('billing:secret')}`, {}, basic('billing', 'secret')],
  ['Basic with more spaces', `Basic   ${base64('billing:secret')}  `, {}, basic('billing', 'secret')],
  ['Basic, a byte order mark is a part of the id', header('\ufeffbilling:secret'), {}, basic('\ufeffbilling', 'secret')],
  ['Basic without padding', `Basic ${base64('a:bc').replace(/=+$/, '')}`, {}, basic('a', 'bc')],
  ['Basic, a secret with a colon', header('billing:a:b'), {}, basic('billing', 'a:b')],
  ['Basic, an empty secret', header('billing:'), {}, basic('billing', '')],
  ['Basic, form-encoded', header('bill%2Ding:a%2Bb'), {}, basic('bill-ing', 'a+b', 'a%2Bb')],
  ['Basic, as curl sends it', header('billing:a+b%'), {}, basic('billing', 'a+b%')],
  ['Basic, both readings possible', header('billing:a+b'), {}, basic('billing', 'a b', 'a+b')],
  ['Basic, a secret of UTF-8', header('billing:sécret'), {}, basic('billing', 'sécret')],
  ['Basic and the same client_id', header('billing:x'), { client_id: 'billing' }, basic('billing', 'x')],
  ['Basic and another client_id', header('billing:x'), { client_id: 'other' }, 'invalid_request'],
  ['Basic and client_secret', header('billing:x'), { client_secret: 'x' }, 'invalid_request'],
  ['Basic and an assertion', header('billing:x'), { client_assertion: 'x' }, 'invalid_request'],
  ['Basic without a colon', header('billing'), {}, 'invalid_request'],
  ['Basic, empty', 'Basic ', {}, 'invalid_request'],
  ['Basic alone', 'Basic', {}, 'invalid_client'],
  ['Basic, not base64', 'Basic !!!!', {}, 'invalid_request'],
  ['Basic, base64url', 'Basic YTo_Pz8_', {}, 'invalid_request'],
  ['Basic, stray bits', 'Basic YTpiY3==', {}, 'invalid_request'],
  ['Basic, junk behind', `Basic ${base64('a:bcd')}!`, {}, 'invalid_request'],
  ['Basic, two', `Basic ${base64('a:b')}, Basic ${base64('a:b')}`, {}, 'invalid_request'],
  ['Basic, not UTF-8', header(Uint8Array.of(0x61, 0x3a, 0xff)), {}, 'invalid_request'],
  ['Basic, a broken escape in the id', header('a%:b'), {}, 'invalid_request'],
  ['Basic, an id that is not UTF-8 once decoded', header('a%FF:b'), {}, 'invalid_request'],
  ['Bearer', 'Bearer x', {}, 'invalid_client'],
  ['an empty header', '', {}, 'invalid_client'],
  ['body', null, { client_id: 'billing', client_secret: 'x' }, { method: 'client_secret_post', clientId: 'billing', secrets: ['x'] }],
  ['public client', null, { client_id: 'billing' }, { method: 'none', clientId: 'billing', secrets: [] }],
  ['secret without an id', null, { client_secret: 'x' }, 'invalid_request'],
  ['assertion of another type', null, { client_assertion: 'x', client_assertion_type: 'y' }, 'invalid_client'],
  ['assertion', null, { client_assertion: 'x', client_assertion_type: TYPE }, { method: 'private_key_jwt', clientId: undefined, jwt: 'x' }],
  [
    'assertion and id',
    null,
    { client_id: 'a', client_assertion: 'x', client_assertion_type: TYPE },
    { method: 'private_key_jwt', clientId: 'a', jwt: 'x' },
  ],
  ['assertion without its type', null, { client_id: 'a', client_assertion: 'x' }, 'invalid_request'],
  ['the type without an assertion', null, { client_id: 'a', client_assertion_type: TYPE }, 'invalid_request'],
  ['Basic and the type of an assertion', header('billing:x'), { client_assertion_type: TYPE }, 'invalid_request'],
  ['assertion and secret', null, { client_id: 'a', client_assertion: 'x', client_secret: 'y' }, 'invalid_request'],
];
for (const [why, authorization, form, expected] of CASES) {
  test(`client credentials: ${why} (RFC 6749 §2.3)`, () => {
    const read = () => readClientCredentials(authorization, new Map(Object.entries(form)));
    if (typeof expected === 'string') assert.throws(read, (error) => error instanceof OAuthError && error.code === expected);
    else assert.deepEqual(read(), expected);
  });
}

const text = fc.string({ unit: 'grapheme' });
const secretsOf = (read: ReturnType<typeof readClientCredentials>) => (read && 'secrets' in read ? read.secrets : []);

test('who form-encodes id and secret is understood whatever they are (RFC 6749 §2.3.1)', () => {
  const encode = (value: string) => new URLSearchParams([['', value]]).toString().slice(1);
  fc.assert(
    fc.property(text, text, (id, secret) => {
      const read = readClientCredentials(header(`${encode(id)}:${encode(secret)}`), new Map());
      assert.equal(read?.clientId, id);
      assert.ok(secretsOf(read).includes(secret));
    }),
  );
});

test('who does not encode the secret is understood, too', () => {
  fc.assert(
    fc.property(text, (secret) => {
      assert.ok(secretsOf(readClientCredentials(header(`billing:${secret}`), new Map())).includes(secret));
    }),
  );
});

test('whatever is sent: credentials or a refusal, never another error', () => {
  const headers = fc.oneof(
    fc.string(),
    fc.string().map((rest) => `Basic ${rest}`),
    fc.uint8Array().map((bytes) => header(bytes)),
  );
  fc.assert(
    fc.property(headers, (authorization) => {
      let read: ReturnType<typeof readClientCredentials>;
      try {
        read = readClientCredentials(authorization, new Map());
      } catch (error) {
        assert.ok(error instanceof OAuthError);
        return;
      }
      assert.equal(read?.method, 'client_secret_basic');
    }),
    { numRuns: 500 },
  );
});

for (const [authorization, expected] of [
  [null, undefined],
  ['Basic eDp5', undefined],
  ['Bearerx y', undefined],
  ['Bearer at_abc', 'at_abc'],
  ['bearer at_abc', 'at_abc'],
  ['Bearer   a.b-c_d~e+f/g==', 'a.b-c_d~e+f/g=='],
  ['Bearer', 'refused'],
  ['Bearer ', 'refused'],
  ['Bearer a b', 'refused'],
  ['Bearer a,b', 'refused'],
  ['Bearer a=b', 'refused'],
  ['Bearer "a"', 'refused'],
  ['Bearer ä', 'refused'],
  ['Bearer a\n', 'refused'],
] as const) {
  test(`Authorization ${JSON.stringify(authorization)} is ${expected ?? 'no bearer token'} (RFC 6750 §2.1)`, () => {
    if (expected === 'refused') {
      assert.throws(
        () => readBearer(authorization),
        (error) => error instanceof BearerError && error.code === 'invalid_request',
      );
    } else assert.equal(readBearer(authorization), expected);
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PROTOCOL_CLAIMS } from '../../src/core/access-token.ts';
import { clientMetadata, parseClientMetadata } from '../../src/core/client-metadata.ts';
import { ACCESS_TOKEN_TTL_MAX_SECONDS, newClientId, requireOwnScopes } from '../../src/core/clients.ts';
import { Problem } from '../../src/core/errors.ts';

type Document = Readonly<Record<string, unknown>>;

/** @returns code and pointers of the refusal, or the settings */
function refusalOf(document: Document): readonly string[] {
  try {
    parseClientMetadata(document);
    return [];
  } catch (error) {
    assert.ok(error instanceof Problem);
    for (const { detail } of error.fields) assert.ok(detail.length > 0);
    return [error.code, ...error.fields.map(({ pointer }) => pointer)];
  }
}

test('an empty document has the defaults (RFC 7591 §2, docs/client.md)', () => {
  assert.deepEqual(parseClientMetadata({}), {
    authMethod: 'client_secret_basic',
    grantTypes: ['client_credentials'],
    scope: [],
    audience: [],
    resources: [],
    claims: {},
    accessTokenFormat: 'reference',
    accessTokenTtlSeconds: undefined,
    accessTokenLimit: undefined,
    introspectionMaxAgeSeconds: 0,
    disabled: false,
    registration: {},
  });
});

const LONG = 'x'.repeat(5000);
const METADATA_REFUSALS: readonly [why: string, document: Document, ...pointers: readonly string[]][] = [
  ['unknown member', { client_nmae: 'x' }, '/client_nmae'],
  ['unknown member with characters that a pointer escapes (RFC 6901 §3)', { 'a/b~c': 1 }, '/a~1b~0c'],
  ['names of Object.prototype', { constructor: 1, toString: 1 }, '/constructor', '/toString'],
  ['a secret of the caller’s choice', { client_secret: LONG }, '/client_secret'],
  ['auth method', { token_endpoint_auth_method: 'client_secret_jwt' }, '/token_endpoint_auth_method'],
  ['auth method null', { token_endpoint_auth_method: null }, '/token_endpoint_auth_method'],
  ['grant type', { grant_types: ['client_credentials', 'implicit'] }, '/grant_types/1'],
  ['grant type twice', { grant_types: ['client_credentials', 'client_credentials'] }, '/grant_types'],
  ['grant types not a list', { grant_types: 'client_credentials' }, '/grant_types'],
  ['response type', { response_types: ['code'] }, '/response_types/0'],
  ['scope as a list', { scope: ['read'] }, '/scope'],
  ['scope with two spaces', { scope: 'read  write' }, '/scope'],
  ['scope too long', { scope: LONG }, '/scope'],
  ['audience not a list', { audience: 'a' }, '/audience'],
  ['audience twice', { audience: ['a', 'a'] }, '/audience'],
  ['audience empty', { audience: ['a', ''] }, '/audience/1'],
  ['audience with a line break', { audience: ['a\nb'] }, '/audience/0'],
  ['audience with 51 values', { audience: Array.from({ length: 51 }, String) }, '/audience'],
  ['resource not absolute (RFC 8707 §2)', { resources: ['/v1'] }, '/resources/0'],
  ['resource with a fragment (RFC 8707 §2)', { resources: ['https://a.example/#x'] }, '/resources/0'],
  ['claims not an object', { claims: [] }, '/claims'],
  ['claims too long', { claims: { x: LONG } }, '/claims'],
  ['claim without a name', { claims: { '': 1 } }, '/claims/'],
  ['two protocol claims', { claims: { sub: 'x', 'ok/': 1, exp: 1 } }, '/claims/sub', '/claims/exp'],
  ['token format', { access_token_format: 'JWT' }, '/access_token_format'],
  ['ttl 0', { access_token_ttl: 0 }, '/access_token_ttl'],
  ['limit 0', { access_token_limit: 0 }, '/access_token_limit'],
  ['limit beyond what is counted', { access_token_limit: 10_001 }, '/access_token_limit'],
  ['a jwks_uri that is none, with private_key_jwt', { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'https://' }, '/jwks_uri'],
  ['ttl text', { access_token_ttl: '60' }, '/access_token_ttl'],
  ['ttl fraction', { access_token_ttl: 1.5 }, '/access_token_ttl'],
  ['ttl above a year and a day', { access_token_ttl: ACCESS_TOKEN_TTL_MAX_SECONDS + 1 }, '/access_token_ttl'],
  ['introspection max age', { introspection_max_age: -1 }, '/introspection_max_age'],
  ['disabled as text', { disabled: 'false' }, '/disabled'],
  ['name not a text', { client_name: 1 }, '/client_name'],
  ['name with a terminal escape', { client_name: '\x1b[31m' }, '/client_name'],
  ['name too long', { client_name: LONG }, '/client_name'],
  ['localized name not a text', { 'client_name#de': 1 }, '/client_name#de'],
  ['localized name too long', { client_name: 'x', 'client_name#de': LONG }, '/client_name#de'],
  ['localized member that has no language (RFC 7591 §2.2)', { 'scope#de': 'x' }, '/scope#de'],
  ['language tag empty', { 'client_name#': 'x' }, '/client_name#'],
  ['uri of a script', { client_uri: 'javascript:alert(1)' }, '/client_uri'],
  ['localized uri of a script', { 'logo_uri#de': 'javascript:alert(1)' }, '/logo_uri#de'],
  ['contacts', { contacts: [''] }, '/contacts/0'],
  ['jwks beside jwks_uri (RFC 7591 §2)', { jwks: { keys: [] }, jwks_uri: 'https://a.example/jwks' }, '/jwks_uri'],
  ['jwks without keys', { jwks: {} }, '/jwks/keys'],
  ['a symmetric key', { jwks: { keys: [{ kty: 'oct', k: 'x', d: undefined }] } }, '/jwks/keys/0/kty'],
  ['a private key', { jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'x' }] } }, '/jwks/keys/0/d'],
  [
    'a part of a private RSA key',
    { jwks: { keys: [{ kty: 'RSA', n: 'x', e: 'x', p: 'x', qi: 'x' }] } },
    '/jwks/keys/0/p',
    '/jwks/keys/0/qi',
  ],
  ['several at once', { scope: ' ', disabled: 1, nope: 1, 'client_name#de': 1 }, '/scope', '/disabled', '/nope', '/client_name#de'],
  ['a redirect URI among others', { redirect_uris: ['x'], nope: 1 }, '/redirect_uris/0', '/nope'],
];
test('a hundred problems are enough', () => {
  const claims = Object.fromEntries(Array.from({ length: 4_000 }, (_, index) => [`${'x'.repeat(201)}${index}`, 1]));
  assert.equal(refusalOf({ claims }).length, 1 + 100);
});

for (const [why, document, ...pointers] of METADATA_REFUSALS) {
  test(`refuses: ${why} (RFC 7591 §3.2.2)`, () => {
    assert.deepEqual(refusalOf(document), ['invalid_client_metadata', ...pointers]);
  });
}

for (const uri of [
  '',
  '/back',
  'back',
  'https://',
  '//app.example.com/back',
  'https://app.example.com/#top',
  'https://app.example.com/*',
  'https://*.example.com/',
  'https://app.example.com/a b',
  'https://app.example.com/\n',
  'https://app.example.com\\@evil.example/',
  'javascript:alert(1)',
  'JavaScript:alert(1)',
  'data:text/html,x',
  'file:///etc/passwd',
  'vbscript:x',
  'blob:https://a.example/x',
  'about:blank',
  `https://a.example/${LONG}`,
]) {
  test(`refuses the redirect URI ${JSON.stringify(uri.slice(0, 50))} (RFC 7591 §3.2.2 invalid_redirect_uri)`, () => {
    assert.deepEqual(
      [...new Set(refusalOf({ redirect_uris: ['https://app.example.com/', uri] }))],
      ['invalid_redirect_uri', '/redirect_uris/1'],
    );
  });
}

for (const uri of ['https://app.example.com/back?x=1', 'http://127.0.0.1:0/', 'com.example.app:/back', 'http://[::1]/']) {
  test(`accepts the redirect URI ${uri}`, () => assert.deepEqual(refusalOf({ redirect_uris: [uri] }), []));
}

for (const claim of PROTOCOL_CLAIMS) {
  test(`refuses the static claim ${claim}`, () => {
    assert.deepEqual(refusalOf({ claims: { [claim]: 'x' } }), ['invalid_client_metadata', `/claims/${claim}`]);
  });
}

test('no refusal repeats a value that was sent', () => {
  const secret = 'TOP-SECRET-VALUE';
  const names = [...METADATA_REFUSALS.flatMap(([, document]) => Object.keys(document))];
  for (const value of [secret, [secret], { keys: secret }, { [secret]: 1 }]) {
    for (const name of names) {
      try {
        parseClientMetadata({ [name]: value });
      } catch (error) {
        assert.ok(error instanceof Problem);
        const told = error.message + error.fields.map(({ detail }) => detail).join('');
        assert.ok(!told.includes(secret), name);
      }
    }
  }
});

test('members that the server sets are ignored when they come back, whatever they hold', () => {
  const readOnly = ['client_id', 'client_id_issued_at', 'client_secret_expires_at', 'secrets', 'created_at', 'updated_at'];
  const sent = Object.fromEntries(readOnly.map((name) => [name, { any: 'thing' }]));
  assert.deepEqual(parseClientMetadata({ ...sent, scope: 'read' }), parseClientMetadata({ scope: 'read' }));
});

test('all metadata of RFC 7591 §2 is kept under its name, with its languages (§2.2)', () => {
  const registration = {
    client_name: 'Billing',
    'client_name#de-CH': 'Abrechnung',
    client_uri: 'https://a.example/',
    'tos_uri#fr': 'https://a.example/fr',
    logo_uri: 'https://a.example/logo.png',
    tos_uri: 'https://a.example/tos',
    policy_uri: 'https://a.example/policy',
    contacts: ['ops@a.example'],
    redirect_uris: ['https://a.example/back'],
    response_types: [],
    jwks_uri: 'https://a.example/jwks',
    software_id: 'id',
    software_version: '1.0',
  };
  assert.deepEqual(parseClientMetadata(registration).registration, registration);
});

test('a public key in jwks is accepted and kept (RFC 7591 §2)', () => {
  const jwks = { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: '1' }] };
  assert.deepEqual(parseClientMetadata({ jwks }).registration, { jwks });
});

const uri = fc.webUrl({ withQueryParameters: true }).filter((url) => refusalOf({ client_uri: url }).length === 0);
const name = fc.string({ maxLength: 50 }).filter((text) => !/\p{Cc}/u.test(text));
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const documents = fc
  .record({
    token_endpoint_auth_method: optional(fc.constantFrom('client_secret_basic', 'client_secret_post', 'none')),
    grant_types: optional(fc.subarray(['client_credentials'])),
    scope: optional(fc.uniqueArray(fc.stringMatching(/^[\x21\x23-\x5b\x5d-\x7e]{1,9}$/), { maxLength: 5 }).map((scope) => scope.join(' '))),
    audience: optional(
      fc.uniqueArray(
        name.filter((text) => text !== ''),
        { maxLength: 3 },
      ),
    ),
    resources: optional(fc.uniqueArray(uri, { maxLength: 3 })),
    claims: optional(
      fc.dictionary(
        name.filter((text) => text !== '' && text !== '__proto__' && !PROTOCOL_CLAIMS.has(text)),
        fc.jsonValue({ maxDepth: 2 }),
        { maxKeys: 3, noNullPrototype: true },
      ),
    ),
    access_token_format: optional(fc.constantFrom('reference', 'jwt')),
    access_token_limit: optional(fc.integer({ min: 1, max: 10_000 })),
    access_token_ttl: optional(fc.integer({ min: 1, max: ACCESS_TOKEN_TTL_MAX_SECONDS })),
    introspection_max_age: optional(fc.integer({ min: 0, max: 86_400 })),
    disabled: optional(fc.boolean()),
    client_name: optional(name),
    'client_name#ja': optional(name),
    client_uri: optional(uri),
    'logo_uri#de': optional(uri),
    redirect_uris: optional(
      fc.uniqueArray(
        uri.filter((text) => !text.includes('*')),
        { maxLength: 2 },
      ),
    ),
  })
  // as it comes from the wire: without what is undefined, and -0 is 0
  .map((document): Document => JSON.parse(JSON.stringify(document)));

test('what is printed is parsed back to the same, and what was sent is printed as it came', () => {
  fc.assert(
    fc.property(documents, (document) => {
      const settings = parseClientMetadata(document);
      const printed = clientMetadata(settings);
      assert.deepEqual(parseClientMetadata(JSON.parse(JSON.stringify(printed))), settings);
      for (const [member, value] of Object.entries(document)) assert.deepEqual(printed[member], value, member);
    }),
    { numRuns: 500 },
  );
});

test('a client id is made up when none is asked for, and is one that could be asked for', () => {
  assert.match(newClientId(undefined), /^[0-9a-f-]{36}$/);
  assert.notEqual(newClientId(undefined), newClientId(undefined));
  for (const id of ['a', '0', 'billing-api.v1_2~x', 'x'.repeat(128), newClientId(undefined)]) assert.equal(newClientId(id), id);
});

for (const id of [null, '', 1, {}, '-a', '.a', '..', 'a b', 'a/b', 'a:b', 'a%20', 'é', 'a\0', 'a\n', 'x'.repeat(129)]) {
  test(`the client id ${JSON.stringify(id)?.slice(0, 30)} is refused`, () => {
    assert.throws(
      () => newClientId(id),
      (error) => error instanceof Problem && error.code === 'invalid_client_metadata' && error.fields[0]?.pointer === '/client_id',
    );
  });
}

for (const [why, held, scopes, refused] of [
  ['no own scopes need nothing', [], [['read'], []], false],
  ['all held', ['auth:clients', 'auth:keys'], [['auth:keys', 'read'], ['auth:clients']], false],
  ['the current record has one that is not held', ['auth:clients'], [['auth:keys'], []], true],
  ['the new record has one that is not held', ['auth:clients'], [[], ['auth:keys']], true],
  ['no inheritance: auth:clients is not auth:clients:read', ['auth:clients'], [['auth:clients:read']], true],
  ['an own scope of tomorrow', ['auth:clients'], [['auth:future']], true],
] as const) {
  test(`nobody gives what he has not: ${why}`, () => {
    const check = () => requireOwnScopes(held, ...scopes.map((scope) => ({ scope })));
    if (refused) assert.throws(check, { code: 'insufficient_scope' });
    else check();
  });
}

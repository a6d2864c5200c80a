/** Client authentication by `private_key_jwt`: A09–A13 and D01–D03 of docs/conformance.md. */
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, sign } from 'node:crypto';
import { after, before, test } from 'node:test';
import { assertion, compact, createKeyClient, type KeyPair, keyPair, presented } from '../support/assertions.ts';
import { type Answer, basic, createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let administrator: string;
let issuer: string;
let key: KeyPair;
let clientId: string;
before(async () => {
  server = await openServer();
  issuer = server.url.replace('127.0.0.1', 'localhost');
  administrator = await issueToken(server.url, server.admin);
  key = keyPair();
  clientId = await createKeyClient(server, key, { scope: 'read' });
});
after(() => server.stop());

const ENDPOINTS = ['/token', '/introspect', '/revoke'] as const;
const FORM = { grant_type: 'client_credentials', token: 'x' };
const send = (path: string, jwt: string, form: Readonly<Record<string, string>> = {}) =>
  postForm(server.url + path, presented(jwt, { ...FORM, ...form }));
const made = (parts: Parameters<typeof assertion>[3] = {}) => assertion(clientId, issuer, key, parts);
const spent = async (): Promise<number> => {
  const [row] = await server.database.query<{ count: number }>('select count(*)::integer as count from client_assertion');
  return row?.count ?? -1;
};

/** Nothing is written, and the same thing at every endpoint. */
async function refused(why: string, make: () => Promise<string> | string, code = 'invalid_client'): Promise<Answer[]> {
  const before = await spent();
  const answers: Answer[] = [];
  for (const path of ENDPOINTS) {
    const answer = await send(path, await make());
    assert.deepEqual([answer.status, answer.body?.error], [code === 'invalid_client' ? 401 : 400, code], `${path} ${why}: ${answer.text}`);
    answers.push(answer);
  }
  assert.equal(await spent(), before, `${why}: a wrong assertion writes nothing`);
  return answers;
}

test('A09 RFC 7523 §2.2: an assertion opens each endpoint; the client gets its token', async () => {
  for (const path of ENDPOINTS) assert.equal((await send(path, await made())).status, 200, path);
  const answer = await send('/token', await made());
  assert.deepEqual([answer.body.scope, answer.body.token_type], ['read', 'Bearer']);
  const introspection = await send('/introspect', await made(), { token: answer.body.access_token });
  assert.deepEqual([introspection.body.active, introspection.body.client_id], [true, clientId]);
  assert.equal((await send('/revoke', await made(), { token: answer.body.access_token })).status, 200);
  assert.equal((await send('/introspect', await made(), { token: answer.body.access_token })).body.active, false);
});

const now = () => Math.floor(Date.now() / 1000);
const CLAIMS: readonly [why: string, claims: () => Readonly<Record<string, unknown>>][] = [
  ['no iss', () => ({ iss: undefined })],
  ['no sub', () => ({ sub: undefined })],
  ['another iss', () => ({ iss: 'other' })],
  ['another sub', () => ({ sub: 'other' })],
  ['sub as a list', () => ({ sub: [clientId] })],
  ['no aud', () => ({ aud: undefined })],
  ['no exp', () => ({ exp: undefined })],
  ['exp as text', () => ({ exp: String(now() + 60) })],
  ['exp that is no number', () => ({ exp: null })],
  ['expired', () => ({ exp: now() - 40 })],
  ['an end that is far away', () => ({ exp: now() + 700 })],
  ['an end in milliseconds', () => ({ exp: Date.now() + 60_000 })],
  ['nbf of the future', () => ({ nbf: now() + 60 })],
  ['iat of the future', () => ({ iat: now() + 60 })],
  ['nbf as text', () => ({ nbf: '0' })],
  ['no jti', () => ({ jti: undefined })],
  ['an empty jti', () => ({ jti: '' })],
  ['jti as a number', () => ({ jti: 1 })],
];
for (const [why, claims] of CLAIMS) {
  test(`A09 RFC 7523 §3: refused, and nothing is written: ${why}`, async () => {
    await refused(why, () => made({ claims: claims() }));
  });
}

test('A09 RFC 7523 §3: clocks may differ by half a minute', async () => {
  const accepted = [
    { exp: now() - 10 },
    { iat: now() + 20, nbf: now() + 20 },
    { exp: now() + 600 },
    { iat: undefined },
    { exp: now() + 59.5 },
  ];
  for (const claims of accepted) assert.equal((await send('/token', await made({ claims }))).status, 200, JSON.stringify(claims));
});

test('A09 RFC 7523 §3.2: a bad signature, an unknown client, a disabled client, another client’s key, another kid: one answer', async () => {
  const [other, disabledKey] = [keyPair(), keyPair()];
  await createKeyClient(server, other);
  const disabled = await createKeyClient(server, disabledKey, { disabled: true });
  const secretive = await createClient(server, { jwks: { keys: [key.jwk] } });
  const attempts: readonly [string, () => Promise<string>][] = [
    [
      'a changed signature',
      async () => (await made()).replace(/\.([\w-])([\w-]+)$/, (_, first, rest) => `.${first === 'A' ? 'B' : 'A'}${rest}`),
    ],
    ['unknown client', () => assertion('nobody', issuer, key)],
    ['an id that is none', () => assertion('\0', issuer, key)],
    ['disabled client', () => assertion(disabled, issuer, disabledKey)],
    ['another client’s key', () => assertion(clientId, issuer, { ...other, kid: key.kid })],
    ['another client’s kid', () => assertion(clientId, issuer, other)],
    ['a kid that nobody has', () => made({ header: { kid: 'nobody' } })],
    ['a client that is registered for a secret, with this key', () => assertion(secretive.clientId, issuer, key)],
    ['cut short', async () => (await made()).slice(0, -4)],
  ];
  const texts = new Set<string>();
  for (const [why, make] of attempts) for (const { text } of await refused(why, make)) texts.add(text);
  assert.deepEqual([...texts], ['{"error":"invalid_client","error_description":"client authentication failed"}']);
});

test('A09 guessing is limited per client and source, as with secrets', async () => {
  const target = keyPair();
  const id = await createKeyClient(server, target);
  const wrong = await assertion(id, issuer, { ...keyPair(), kid: target.kid });
  for (let attempt = 0; attempt < 100; attempt++) await send('/token', wrong);
  assert.equal((await send('/token', await assertion(id, issuer, target))).status, 429);
});

test('A10 RFC 7523bis: aud is the issuer; the URL of the token endpoint and of the endpoint itself as RFC 7523 §3 allows', async () => {
  for (const path of ENDPOINTS) {
    for (const aud of [issuer, [issuer], `${issuer}/token`, [`${issuer}/token`], issuer + path]) {
      const answer = await send(path, await made({ claims: { aud } }));
      assert.equal(answer.status, 200, `${path} ${JSON.stringify(aud)}`);
    }
  }
  const others = [
    ...[[], [issuer, 'https://other.example'], [issuer, issuer], [[issuer]], '', `${issuer}/`, `${issuer}/token/`, `${issuer}/token?x`],
    ...[server.url, `${server.url}/token`, issuer.toUpperCase(), 'https://other.example', `${issuer}/jwks`, { iss: issuer }, null],
  ];
  for (const aud of others) await refused(`aud ${JSON.stringify(aud)}`, () => made({ claims: { aud } }));
  assert.equal(
    (await send('/token', await made({ claims: { aud: `${issuer}/revoke` } }))).status,
    401,
    'what was made for another endpoint',
  );
});

test('A10 RFC 7523 §3: an issuer with a path is an audience with its path', async () => {
  const tenant = await openServer({ AUTH_ISSUER: 'https://auth.example.com/tenant' });
  try {
    const id = await createKeyClient(tenant, key);
    const ask = async (aud: string) =>
      (await postForm(`${tenant.url}/introspect`, presented(await assertion(id, aud, key), { token: 'x' }))).status;
    for (const path of ['', '/token', '/introspect']) assert.equal(await ask(`https://auth.example.com/tenant${path}`), 200, path);
    for (const aud of ['https://auth.example.com', 'https://auth.example.com/introspect', `${tenant.url}/introspect`])
      assert.equal(await ask(aud), 401, aud);
  } finally {
    await tenant.stop();
  }
});

test('A10 RFC 7523bis: typ absent, JWT or client-authentication+jwt, which is for the issuer only; no other kind of JWT', async () => {
  for (const typ of [undefined, 'JWT', 'jwt', 'application/jwt', 'client-authentication+jwt', 'application/client-authentication+jwt']) {
    assert.equal((await send('/token', await made({ header: { typ } }))).status, 200, typ);
  }
  for (const typ of ['at+jwt', 'dpop+jwt', 'application/at+jwt', 'JOSE', '', 1])
    await refused(`typ ${typ}`, () => made({ header: { typ } }));
  for (const aud of [`${issuer}/token`, [issuer]]) {
    await refused('the new type for more than the issuer', () => made({ header: { typ: 'client-authentication+jwt' }, claims: { aud } }));
  }
});

test('A11 RFC 7523 §3: an assertion is used once, whatever the endpoint; another client may have the same jti', async () => {
  const jwt = await made();
  assert.equal((await send('/introspect', jwt)).status, 200);
  for (const path of ENDPOINTS) {
    const again = await send(path, jwt);
    assert.deepEqual([again.status, again.body.error], [401, 'invalid_client'], path);
    assert.match(again.body.error_description, /used before/);
  }
  const jti = 'the same';
  const other = keyPair();
  const otherId = await createKeyClient(server, other);
  assert.equal((await send('/token', await made({ claims: { jti } }))).status, 200);
  assert.equal((await send('/token', await assertion(otherId, issuer, other, { claims: { jti } }))).status, 200);
  assert.equal((await send('/token', await made({ claims: { jti, exp: now() + 300 } }))).status, 401, 'signed again, it is the same use');
});

test('A11 RFC 7523 §3: twenty at once: one is accepted, also when the first look is one at the record', async () => {
  const fresh = keyPair();
  const id = await createKeyClient(server, fresh);
  const jwt = await assertion(id, issuer, fresh);
  const answers = await Promise.all(Array.from({ length: 20 }, () => send('/token', jwt)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array.from({ length: 19 }, () => 401)]);
});

test('A12 RFC 8725 §3.1: never none, never a MAC with the public key, whatever the case', async () => {
  const claims = () => ({ iss: clientId, sub: clientId, aud: issuer, jti: String(Math.random()), exp: now() + 60 });
  const pem = createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' }).toString();
  const secrets = [pem, pem.trimEnd(), JSON.stringify(key.jwk), ''];
  for (const alg of ['none', 'None', 'NONE', '', 'ES256K', 'toString', '__proto__', null, ['ES256']]) {
    await refused(`alg ${alg}`, () => compact({ alg, kid: key.kid }, claims(), () => ''));
    await refused(`alg ${alg}, signed`, () => compact({ alg, kid: key.kid }, claims(), () => 'AAAA'));
  }
  for (const [alg, hash] of [
    ['HS256', 'sha256'],
    ['HS512', 'sha512'],
  ] as const) {
    for (const secret of secrets) {
      await refused(alg, () => compact({ alg, kid: key.kid }, claims(), (input) => createHmac(hash, secret).update(input).digest()));
    }
  }
});

test('A12 RFC 8725 §3.1: the key says which algorithms it is for, not the header; token_endpoint_auth_signing_alg leaves one', async () => {
  const rsa = keyPair('RS256');
  const any = await createKeyClient(server, rsa);
  for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'])
    assert.equal((await send('/token', await assertion(any, issuer, { ...rsa, alg }))).status, 200, alg);
  const named = await createKeyClient(server, { ...rsa, jwk: { ...rsa.jwk, alg: 'PS256', use: 'sig', key_ops: ['verify'] } });
  const only = await createKeyClient(server, rsa, { token_endpoint_auth_signing_alg: 'PS256' });
  for (const id of [named, only]) {
    assert.equal((await send('/token', await assertion(id, issuer, { ...rsa, alg: 'PS256' }))).status, 200);
    await refused('another algorithm', () => assertion(id, issuer, rsa));
  }
  // ES384 with a P-256 key: a signature that is right but for the header.
  const claims = () => ({ iss: clientId, sub: clientId, aud: issuer, jti: String(Math.random()), exp: now() + 60 });
  const by = (hash: string) => (input: string) => sign(hash, Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  for (const [alg, hash] of [
    ['ES384', 'sha384'],
    ['ES512', 'sha512'],
    ['EdDSA', 'sha256'],
    ['RS256', 'sha256'],
  ] as const)
    await refused(`${alg} with another key`, () => compact({ alg, kid: key.kid }, claims(), by(hash)));
  const der = (input: string) => sign('sha256', Buffer.from(input), key.privateKey);
  await refused('a signature in DER', () => compact({ alg: 'ES256', kid: key.kid }, claims(), der));
});

for (const alg of ['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519', 'PS256', 'RS256']) {
  test(`A12 RFC 8414 §2: ${alg} is advertised, and works`, async () => {
    const pair = keyPair(alg);
    const id = await createKeyClient(server, pair);
    assert.equal((await send('/token', await assertion(id, issuer, pair))).status, 200);
  });
}

test('A12 RFC 8725 §3.5, RFC 7515 §4.1: keys in the header are never looked at, a kid is no path, and crit is refused', async () => {
  const attacker = keyPair('ES256', key.kid);
  const offered = { jwk: attacker.jwk, jku: `${server.url}/jwks`, x5u: `${server.url}/x`, x5c: ['AAAA'] };
  await refused('a key in the header', () => assertion(clientId, issuer, attacker, { header: offered }));
  assert.equal((await send('/token', await made({ header: offered }))).status, 200, 'and they do no harm beside the right one');
  for (const kid of ['../../dev/null', "' or 1=1 --", '\0', 'x'.repeat(10_000), '', 1, null, ['a'], { kid: key.kid }, '__proto__'])
    await refused(`kid ${JSON.stringify(kid).slice(0, 40)}`, () => made({ header: { kid } }));
  await refused('crit', () => made({ header: { crit: ['urn:example:crit'], 'urn:example:crit': 1 } }));
  await refused('crit that is empty', () => compact({ alg: 'ES256', crit: [] }, {}, () => 'AAAA'));
  const anonymous = await made({ header: { kid: undefined } });
  assert.equal((await send('/token', anonymous)).status, 200, 'without a kid each key of the client is tried');
});

test('A13 RFC 7521 §4.2: client_id beside an assertion is the same; one without a type, or a type alone, is 400; one method only', async () => {
  assert.equal((await send('/token', await made(), { client_id: clientId })).status, 200);
  const before = await spent();
  const jwt = await made();
  for (const path of ENDPOINTS) {
    const url = server.url + path;
    const failures = [
      await send(path, jwt, { client_id: 'other' }),
      await postForm(url, { ...FORM, client_id: clientId, client_assertion: jwt }),
      await postForm(url, { ...FORM, client_id: clientId, client_assertion_type: presented('x').client_assertion_type ?? '' }),
      await send(path, jwt, { client_secret: 'x' }),
      await postForm(url, presented(jwt, FORM), undefined, { authorization: basic({ clientId, clientSecret: 'x' }) }),
      await postForm(url, presented(jwt, FORM), undefined, { authorization: `Bearer ${administrator}` }),
    ];
    for (const answer of failures) assert.equal(answer.status, 400, `${path} ${answer.text}`);
  }
  assert.equal(await spent(), before);
  assert.equal((await send('/token', jwt)).status, 200, 'none of them has used it');
});

test('A13 RFC 7521 §4.2: another type of assertion, and what is no JWT: invalid_client', async () => {
  const saml = 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer';
  const answer = await postForm(`${server.url}/token`, { ...FORM, client_assertion_type: saml, client_assertion: await made() });
  assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client']);
  const good = await made();
  const [header = '', claims = '', signature = ''] = good.split('.');
  const junk = [
    ...[
      'x',
      '..',
      'a.b.c',
      `${good}.`,
      `.${good}`,
      `${good}.${signature}`,
      `${header}.${claims}.`,
      `${header}..${signature}`,
      ` ${good}`,
      `${good}\n`,
    ],
    ...[
      `${good}=`,
      `${Buffer.from('[]').toString('base64url')}.${claims}.${signature}`,
      `${header}.${Buffer.from('[1]').toString('base64url')}.${signature}`,
    ],
    ...[
      `${header}.${Buffer.from('null').toString('base64url')}.${signature}`,
      '.'.repeat(5_000),
      'a'.repeat(9_000),
      JSON.stringify({ payload: claims }),
    ],
    ...[`${header}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.${signature}`, `${header}.${claims.slice(1)}.${signature}`],
  ];
  for (const text of junk) await refused(`junk ${text.slice(0, 20)}`, () => text);
});

test('D01 RFC 7591 §2: such a client has keys and no secret; a public client’s way and a secret are refused', async () => {
  const document = { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [keyPair().jwk] }, scope: 'read' };
  const { body } = await sendJson('POST', `${server.url}/clients`, administrator, document);
  assert.deepEqual([body.client_secret, body.client_secret_expires_at, body.secrets, body.jwks], [undefined, undefined, [], document.jwks]);
  const secret = await sendJson('POST', `${server.url}/clients/${body.client_id}/secrets`, administrator, {});
  assert.deepEqual([secret.status, secret.body.error], [409, 'conflict']);
  for (const form of [{ client_id: body.client_id }, { client_id: body.client_id, client_secret: 'x' }])
    assert.equal((await postForm(`${server.url}/revoke`, { token: 'x', ...form })).status, 401);
});

test('D01 RFC 7591 §2: a secret of before does not open once the client has keys, nor keys of before once it has a secret', async () => {
  const turned = await createClient(server, { scope: 'read' });
  const pair = keyPair();
  const url = `${server.url}/clients/${turned.clientId}`;
  await sendJson('PATCH', url, administrator, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [pair.jwk] } });
  assert.equal((await postForm(`${server.url}/token`, FORM, turned)).status, 401);
  assert.equal((await send('/token', await assertion(turned.clientId, issuer, pair))).status, 200);
  await sendJson('PATCH', url, administrator, { token_endpoint_auth_method: 'client_secret_basic' });
  assert.equal((await postForm(`${server.url}/token`, FORM, turned)).status, 200);
  assert.equal((await send('/token', await assertion(turned.clientId, issuer, pair))).status, 401);
});

test('D02 keys are changed by PATCH: the new one is good and the old one bad at once, and the audit has both', async () => {
  const [old, next] = [keyPair(), keyPair()];
  const id = await createKeyClient(server, old);
  assert.equal((await send('/token', await assertion(id, issuer, old))).status, 200);
  const url = `${server.url}/clients/${id}`;
  await sendJson('PATCH', url, administrator, { jwks: { keys: [old.jwk, next.jwk] } });
  for (const pair of [old, next]) assert.equal((await send('/token', await assertion(id, issuer, pair))).status, 200);
  await sendJson('PATCH', url, administrator, { jwks: { keys: [next.jwk] } });
  assert.equal((await send('/token', await assertion(id, issuer, next))).status, 200);
  await refused('the old key', () => assertion(id, issuer, old));
  const { body } = await sendJson('GET', `${server.url}/audit?target=${id}&action=client.update`, administrator);
  assert.deepEqual(body.items[0].detail.changes.jwks, { from: { keys: [old.jwk, next.jwk] }, to: { keys: [next.jwk] } });
  await sendJson('PATCH', url, administrator, { disabled: true });
  await refused('disabled', () => assertion(id, issuer, next));
});

test('D03 no assertion, whole or in part, is in the log or in the audit', async () => {
  const jwt = await made();
  await send('/token', jwt);
  await send('/token', jwt);
  await refused('wrong', async () => `${(await made()).slice(0, -4)}AAAA`);
  const [, claims = '', signature = ''] = jwt.split('.');
  const [audit] = await server.database.query<{ text: string }>(
    'select coalesce(string_agg(detail::text, chr(10)), $1) as text from audit',
    [''],
  );
  for (const text of [server.logged(), audit?.text ?? '']) assert.ok(!text.includes(claims) && !text.includes(signature));
});

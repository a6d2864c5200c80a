import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AUTH_METHODS } from '../../src/core/clients.ts';
import { authorizationServerMetadata } from '../../src/core/metadata.ts';
import { SIGNING_ALGS } from '../../src/core/signing-key.ts';
import { GRANT_TYPES } from '../../src/core/token.ts';

for (const issuer of ['https://auth.example.com', 'https://example.com/tenant/a']) {
  const metadata = authorizationServerMetadata(issuer, 'ES256');

  test(`${issuer}: the issuer is exact, and every address lies below it (RFC 8414 §2, §3.3)`, () => {
    assert.equal(metadata.issuer, issuer);
    const addresses = Object.entries(metadata).filter(([name]) => /_(endpoint|uri)$/.test(name));
    assert.deepEqual(
      addresses.map(([, address]) => address),
      ['/token', '/introspect', '/revoke', '/jwks'].map((path) => issuer + path),
    );
  });

  test(`${issuer}: no member is empty (RFC 8414 §3.2)`, () => {
    for (const [name, value] of Object.entries(metadata)) assert.ok(Array.isArray(value) ? value.length > 0 : value, name);
  });
}

test('it advertises the grants that there are, and none of the flows that are not', () => {
  const metadata = authorizationServerMetadata('https://a.example', 'ES256');
  assert.deepEqual(metadata.grant_types_supported, GRANT_TYPES);
  for (const absent of ['authorization_endpoint', 'response_types_supported', 'registration_endpoint', 'userinfo_endpoint']) {
    assert.ok(!(absent in metadata), absent);
  }
});

test('a public client may revoke, but neither get a token by client credentials nor introspect (RFC 7009 §2.1, RFC 6749 §4.4, RFC 7662 §2.1)', () => {
  const metadata = authorizationServerMetadata('https://a.example', 'ES256');
  const confidential = AUTH_METHODS.filter((method) => method !== 'none');
  assert.deepEqual(metadata.token_endpoint_auth_methods_supported, confidential);
  assert.deepEqual(metadata.introspection_endpoint_auth_methods_supported, confidential);
  assert.deepEqual(metadata.revocation_endpoint_auth_methods_supported, AUTH_METHODS);
});

test('only the algorithm that signs is advertised (RFC 9701 §7)', () => {
  for (const alg of SIGNING_ALGS) {
    assert.deepEqual(authorizationServerMetadata('https://a.example', alg).introspection_signing_alg_values_supported, [alg]);
  }
});

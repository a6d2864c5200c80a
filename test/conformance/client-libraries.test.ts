/** Client libraries as their users use them, unchanged: openid-client and oauth4webapi. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import { keyPair } from '../support/assertions.ts';
import { createClient } from '../support/client.ts';
import { type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
let issuer: URL;
before(async () => {
  server = await openServer();
  issuer = new URL(server.url.replace('127.0.0.1', 'localhost'));
});
after(() => server.stop());

const API = 'https://api.example.com';
const METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const;
const FORMATS = ['reference', 'jwt'] as const;
const KEY = keyPair('PS256');

/** @param library the functions of both have these names */
async function authenticationOf(method: (typeof METHODS)[number], clientSecret: string, library: typeof oauth | typeof openid) {
  if (method === 'client_secret_basic') return library.ClientSecretBasic(clientSecret) as oauth.ClientAuth;
  if (method === 'client_secret_post') return library.ClientSecretPost(clientSecret) as oauth.ClientAuth;
  const der = KEY.privateKey.export({ type: 'pkcs8', format: 'der' });
  const key = await crypto.subtle.importKey('pkcs8', der, { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['sign']);
  return library.PrivateKeyJwt({ key, kid: KEY.kid }) as oauth.ClientAuth;
}

const INSECURE = { [oauth.allowInsecureRequests]: true } as const;

for (const method of METHODS) {
  for (const format of FORMATS) {
    const keys = method === 'private_key_jwt' && { jwks: { keys: [KEY.jwk] } };
    const settings = { token_endpoint_auth_method: method, access_token_format: format, scope: 'read write', audience: [API], ...keys };

    test(`openid-client: discovery, token, introspection, revocation (${method}, ${format})`, async () => {
      const { clientId, clientSecret } = await createClient(server, settings);
      const authentication = await authenticationOf(method, clientSecret, openid);
      const options = { algorithm: 'oauth2' as const, execute: [openid.allowInsecureRequests] };
      const configuration = await openid.discovery(issuer, clientId, undefined, authentication, options);
      const tokens = await openid.clientCredentialsGrant(configuration, { scope: 'read' });
      assert.equal(tokens.scope, 'read');
      const introspection = await openid.tokenIntrospection(configuration, tokens.access_token);
      assert.deepEqual([introspection.active, introspection.client_id], [true, clientId]);
      await openid.tokenRevocation(configuration, tokens.access_token);
      assert.equal((await openid.tokenIntrospection(configuration, tokens.access_token)).active, false);
    });

    test(`oauth4webapi: the same, with the signed answer of RFC 9701 and the JWT of RFC 9068 (${method}, ${format})`, async () => {
      const { clientId, clientSecret } = await createClient(server, settings);
      const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...INSECURE }));
      const client: oauth.Client = { client_id: clientId };
      const authentication = await authenticationOf(method, clientSecret, oauth);
      const grant = await oauth.clientCredentialsGrantRequest(as, client, authentication, { scope: 'read' }, INSECURE);
      const { access_token } = await oauth.processClientCredentialsResponse(as, client, grant);
      const asked = await oauth.introspectionRequest(as, client, authentication, access_token, { ...INSECURE, requestJwtResponse: true });
      const signed = { ...client, introspection_signed_response_alg: 'ES256' };
      assert.equal((await oauth.processIntrospectionResponse(as, signed, asked)).active, true);
      if (format === 'jwt') {
        const request = new Request(API, { headers: { authorization: `Bearer ${access_token}` } });
        assert.equal((await oauth.validateJwtAccessToken(as, request, API, INSECURE)).client_id, clientId);
      }
      await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, authentication, access_token, INSECURE));
      const plain = await oauth.introspectionRequest(as, client, authentication, access_token, INSECURE);
      assert.equal((await oauth.processIntrospectionResponse(as, client, plain)).active, false);
    });
  }
}

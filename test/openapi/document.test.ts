/** `/openapi.json` as a document: complete, valid, and true to itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { OWN_SCOPES } from '../../src/core/scope.ts';
import { ROOT_ROUTES, ROUTES } from '../../src/http/app.ts';
import { describeApi, OPERATIONS, ROOT_OPERATIONS } from '../../src/openapi/document.ts';
import type { Schema } from '../../src/openapi/operation.ts';
import { openJudge } from '../support/openapi.ts';

const api = describeApi('https://auth.example.com', '1.2.3');

test('every route is described, and nothing else: see CONTRIBUTING.md, "Describe an operation"', () => {
  const names = (routes: readonly { readonly method: string; readonly path: string }[]) =>
    routes.map(({ method, path }) => `${method} ${path}`).sort();
  assert.deepEqual(Object.keys(OPERATIONS).sort(), names(ROUTES));
  assert.deepEqual(Object.keys(ROOT_OPERATIONS).sort(), names(ROOT_ROUTES));
});

for (const issuer of ['https://auth.example.com', 'https://example.com/tenant']) {
  test(`it is OpenAPI 3.1 by the official schema: ${issuer}`, async () => {
    const document = JSON.parse(JSON.stringify(describeApi(issuer, '1.2.3')));
    const result = await new Validator().validate(document);
    assert.ok(result.valid, JSON.stringify(result.errors));
    assert.equal(document.servers[0].url, issuer);
    assert.equal(document.info.version, '1.2.3');
  });
}

test('where the issuer has a path, what is at the root of the listener is there', () => {
  const { paths } = describeApi('https://example.com/tenant', '1.2.3');
  const { servers } = paths['/.well-known/oauth-authorization-server/tenant'] ?? {};
  assert.deepEqual(
    [servers, paths['/health/live']?.servers, paths['/token']?.servers],
    [[{ url: 'https://example.com' }], servers, undefined],
  );
});

test('each example fits its schema, and every body has one', () => openJudge(api).examplesMustFit());

test('each reference leads somewhere, and each component is used', () => {
  const text = JSON.stringify(api);
  const used = new Set([...text.matchAll(/"\$ref":"#\/components\/([^"]+)"/g)].map(([, name]) => name));
  const there = Object.entries(api.components).flatMap(([kind, known]) => Object.keys(known).map((name) => `${kind}/${name}`));
  assert.deepEqual([...used].sort(), there.filter((name) => !name.startsWith('securitySchemes/')).sort());
});

test('each member of a request has a meaning', () => {
  const { operations, resolve } = openJudge(api);
  for (const { name, operation } of operations) {
    for (const { schema } of Object.values(operation.requestBody?.content ?? {})) {
      const { properties = {} } = resolve<Schema>(schema) as { properties?: Readonly<Record<string, Schema>> };
      for (const [member, { description }] of Object.entries(properties)) assert.ok(description, `${name}: ${member} (src/openapi)`);
    }
  }
});

test('operations have names of their own, and ways to authenticate that exist, with scopes that have a meaning', () => {
  const { operations } = openJudge(api);
  const ids = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length);
  const { securitySchemes } = api.components;
  const { flows } = securitySchemes.oauth2 as { flows: { clientCredentials: { scopes: Record<string, string> } } };
  assert.deepEqual(Object.keys(flows.clientCredentials.scopes), OWN_SCOPES);
  assert.ok(Object.values(flows.clientCredentials.scopes).every((meaning) => meaning !== ''));
  for (const [way, scopes] of operations.flatMap(({ operation }) => operation.security.flatMap((each) => Object.entries(each)))) {
    assert.ok(way in securitySchemes, way);
    for (const scope of scopes) assert.ok(OWN_SCOPES.includes(scope), scope);
  }
});

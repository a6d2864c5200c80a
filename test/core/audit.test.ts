import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientChanges, clientDetail } from '../../src/core/audit.ts';
import { settings } from '../contracts/stores.ts';

const CHANGES: readonly [what: string, from: object, to: object, changes: object][] = [
  ['nothing', { client_name: 'x', claims: { a: 1 } }, { client_name: 'x', claims: { a: 1 } }, {}],
  ['scope', { scope: 'a b' }, { scope: 'a' }, { scope: { from: 'a b', to: 'a' } }],
  ['disabled', {}, { disabled: true }, { disabled: { from: false, to: true } }],
  ['a list', { audience: ['x'] }, { audience: ['x', 'y'] }, { audience: { from: ['x'], to: ['x', 'y'] } }],
  ['what was not there', {}, { client_name: 'x', access_token_ttl: 60 }, { client_name: { to: 'x' }, access_token_ttl: { to: 60 } }],
  ['what is not there any more', { 'client_name#de': 'y' }, {}, { 'client_name#de': { from: 'y' } }],
  ['claims', { claims: { a: 1, b: 2, c: 3 } }, { claims: { a: 1, b: 9, d: 4 } }, { claims: { names: ['b', 'c', 'd'] } }],
  ['the order of members', { claims: { o: { a: 1, b: { c: 1, d: 1 } } } }, { claims: { o: { b: { d: 1, c: 1 }, a: 1 } } }, {}],
  [
    'what is long',
    { contacts: ['x'.repeat(300), 'y'.repeat(300), 'z'.repeat(300), 'a'.repeat(300)] },
    { contacts: [] },
    { contacts: { from: { omitted_bytes: 1213 }, to: [] } },
  ],
];
for (const [what, from, to, changes] of CHANGES) {
  test(`a change of ${what}: each member that is not what it was, before and after`, () => {
    assert.deepEqual(clientChanges(settings({ ...from }), settings({ ...to })), { changes });
  });
}

test('a client as it was made: its metadata by its wire names, its claims without values', () => {
  const { metadata } = clientDetail(settings({ client_name: 'Billing', scope: 'a b', claims: { tenant: 'sensitive' } })) as {
    metadata: Record<string, unknown>;
  };
  const { client_name, scope, claims, disabled } = metadata;
  assert.deepEqual(
    { client_name, scope, claims, disabled },
    { client_name: 'Billing', scope: 'a b', claims: { names: ['tenant'] }, disabled: false },
  );
  assert.doesNotMatch(JSON.stringify(metadata), /sensitive/);
});

test('whatever a client holds, what is said of it is bounded, and says how much is left out', () => {
  const tags = Array.from({ length: 26 * 26 }, (_, n) => String.fromCharCode(97 + n / 26, 97 + (n % 26)));
  const large = settings(Object.fromEntries(tags.map((tag) => [`client_name#${tag}`, 'x'.repeat(80)])));
  for (const detail of [clientDetail(large), clientChanges(settings(), large), clientChanges(large, settings())]) {
    const text = JSON.stringify(detail);
    assert.ok(text.length > 10_000 && text.length < 17_000, String(text.length));
    assert.match(text, /"omitted_members":\d+/);
  }
});

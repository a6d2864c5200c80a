import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ClientSettings } from '../../src/core/clients.ts';
import {
  type Administers,
  administratorStanding,
  isInPart,
  isNoWider,
  partOf,
  requireAdministrator,
  requireCreation,
  requireNoWider,
  STANDINGS,
} from '../../src/core/delegation.ts';
import { settings } from '../contracts/stores.ts';

/** Few letters, so that prefixes meet. */
const id = fc.stringMatching(/^[ab]{1,4}$/);
const limits: fc.Arbitrary<Administers | undefined> = fc.option(
  fc
    .record({ prefix: fc.option(id, { nil: undefined }), created: fc.constantFrom(undefined, true as const) })
    .filter(({ prefix, created }) => prefix !== undefined || created === true),
  { nil: undefined },
);
const client = fc.record({ id, createdBy: fc.option(id, { nil: undefined }) });

test('limits that are no wider reach no client that the others do not reach, for the same asker', () => {
  fc.assert(
    fc.property(limits, limits, client, id, (inner, outer, reached, asker) => {
      if (isNoWider(inner, outer) && isInPart(reached, partOf(inner, asker))) assert.ok(isInPart(reached, partOf(outer, asker)));
    }),
    { numRuns: 5_000 },
  );
});

test('limits that are wider reach a client that the others do not reach', () => {
  fc.assert(
    fc.property(limits, limits, id, (inner, outer, asker) => {
      if (isNoWider(inner, outer)) return;
      // one that inner reaches by a hair, and one that it reaches by far
      const reached = [inner?.prefix ?? '0', `${inner?.prefix ?? '0'}z`].flatMap((name) => [
        { id: name, createdBy: inner?.created ? asker : undefined },
        { id: name, createdBy: asker },
      ]);
      assert.ok(reached.some((one) => isInPart(one, partOf(inner, asker)) && !isInPart(one, partOf(outer, asker))));
    }),
    { numRuns: 5_000 },
  );
});

test('no wider: reflexive, transitive, everything is no wider than no limit, and nothing unlimited within a limit', () => {
  fc.assert(
    fc.property(limits, limits, limits, (a, b, c) => {
      assert.ok(isNoWider(a, a));
      assert.ok(isNoWider(a, undefined));
      if (a) assert.ok(!isNoWider(undefined, a));
      if (isNoWider(a, b) && isNoWider(b, c)) assert.ok(isNoWider(a, c));
    }),
    { numRuns: 5_000 },
  );
});

test('whoever makes clients that make clients reaches nothing that the first one did not: by any chain of creations', () => {
  fc.assert(
    fc.property(limits, fc.array(fc.tuple(id, limits), { maxLength: 6 }), client, (first, chain, reached) => {
      let [maker, own] = ['root', first];
      for (const [made, given] of chain) {
        const metadata = settings({ scope: 'auth:clients', ...(given && { administers: given }) });
        try {
          requireCreation(own, made, metadata);
        } catch {
          continue;
        }
        assert.ok(made.startsWith(first?.prefix ?? ''));
        [maker, own] = [made, given];
      }
      const part = partOf(own, maker);
      // What it made itself is new, so it took nothing from anybody.
      if (isInPart(reached, part) && reached.createdBy !== maker) assert.ok(isInPart(reached, partOf(first, maker)));
    }),
    { numRuns: 5_000 },
  );
});

for (const [why, own, clients, isRefused] of [
  ['no limits, an unlimited administrator', undefined, [{ scope: 'auth:clients' }], false],
  ['a limited one, an ordinary client', { prefix: 'a-' }, [{ scope: 'read' }], false],
  ['what is of the whole server is no matter of limits', { prefix: 'a-' }, [{ scope: 'auth:introspect auth:audit' }], false],
  ['an unlimited administrator', { prefix: 'a-' }, [{ scope: 'auth:clients' }], true],
  ['an unlimited reader', { prefix: 'a-' }, [{ scope: 'auth:clients:read' }], true],
  ['an unlimited revoker', { prefix: 'a-' }, [{ scope: 'auth:revocations' }], true],
  ['the same limits', { prefix: 'a-' }, [{ scope: 'auth:clients', administers: { prefix: 'a-' } }], false],
  ['narrower ones', { prefix: 'a-' }, [{ scope: 'auth:clients', administers: { prefix: 'a-b', created: true } }], false],
  ['wider ones', { prefix: 'a-b' }, [{ scope: 'auth:clients', administers: { prefix: 'a-' } }], true],
  ['without the limit to its own', { created: true }, [{ scope: 'auth:clients', administers: { prefix: 'a-' } }], true],
  ['one that was wider and would become narrower', { prefix: 'a-' }, [{ scope: 'auth:clients' }, { scope: 'read' }], true],
] as const) {
  test(`a limited administrator gives no way out of the limits: ${why}`, () => {
    const check = () => requireNoWider(own, ...clients.map((metadata) => settings(metadata)));
    if (isRefused) assert.throws(check, { code: 'insufficient_scope' });
    else check();
  });
}

for (const [prefix, made, isRefused] of [
  ['team-a-', 'team-a-x', false],
  ['team-a-', 'team-a-', false],
  ['team-a-', 'team-b-x', true],
  ['team-a-', 'Team-a-x', true],
  ['team-a-', 'team-a', true],
  [undefined, 'whatever', false],
] as const) {
  test(`with ${prefix ?? 'no prefix'} a client ${made} is ${isRefused ? 'refused' : 'made'}`, () => {
    const check = () => requireCreation({ prefix, created: true }, made, settings());
    if (isRefused) assert.throws(check, { code: 'insufficient_scope' });
    else check();
  });
}

const NOW = 1_800_000_000;
const ends = (seconds: number) => ({ expiresAt: new Date((NOW + seconds) * 1000) });
const EVER = { expiresAt: undefined };
for (const [why, metadata, secrets, expected] of [
  ['a secret without an end', {}, [ends(-1), EVER], 'lasting'],
  ['a secret that ends', {}, [ends(1)], 'for_now'],
  ['secrets that have ended', {}, [ends(0), ends(-1)], 'none'],
  ['no secret', {}, [], 'none'],
  ['disabled', { disabled: true }, [EVER], 'none'],
  ['limited', { administers: { created: true } }, [EVER], 'none'],
  ['without auth:clients', { scope: 'auth:clients:read auth:keys' }, [EVER], 'none'],
  ['without a method', { token_endpoint_auth_method: 'none' }, [EVER], 'none'],
  ['without a grant', { grant_types: [] }, [EVER], 'none'],
] as const) {
  test(`an administrator of everything: ${why}: ${expected}`, () => {
    const found: ClientSettings = settings({ scope: 'auth:clients', ...metadata });
    assert.equal(administratorStanding({ ...found, secrets }, NOW), expected);
  });
}

test('the last administrator stays as good as it was, and others may become worse', () => {
  for (const [b, before] of STANDINGS.entries()) {
    for (const [l, left] of STANDINGS.entries()) {
      const check = () => requireAdministrator(before, left);
      if (l < b) assert.throws(check, { code: 'conflict' });
      else check();
    }
  }
});

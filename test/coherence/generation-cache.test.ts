import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GenerationCache } from '../../src/coherence/generation-cache.ts';

test('what was set last is what is got, or nothing; never more than the bound', () => {
  const operation = fc.record({ key: fc.nat(30), size: fc.integer({ min: 1, max: 40 }), kind: fc.constantFrom('set', 'get', 'delete') });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
      const cache = new GenerationCache<number, { readonly size: number }>(100, ({ size }) => size);
      const latest = new Map<number, { readonly size: number }>();
      for (const { key, size, kind } of operations) {
        if (kind === 'set') {
          const value = { size };
          cache.set(key, value);
          latest.set(key, value);
        } else if (kind === 'delete') {
          cache.delete(key);
          latest.delete(key);
        }
        const got = cache.get(key);
        assert.ok(got === undefined || got === latest.get(key));
        if (kind === 'set') assert.equal(got, latest.get(key), 'at least at once');
      }
      assert.ok([...latest.keys()].reduce((sum, key) => sum + (cache.get(key)?.size ?? 0), 0) <= 150);
    }),
  );
});

test('what is used stays while others pass by', () => {
  const cache = new GenerationCache<string, string>(20, () => 1);
  cache.set('used', 'value');
  for (let n = 0; n < 1_000; n++) {
    cache.set(`passing ${n}`, '');
    assert.equal(cache.get('used'), 'value');
  }
  assert.ok(cache.size <= 21);
});

test('what is larger than a generation is not kept', () => {
  const cache = new GenerationCache<string, number>(20, (size) => size);
  cache.set('large', 11);
  assert.equal(cache.get('large'), undefined);
  cache.set('fits', 10);
  cache.set('fits', 11);
  assert.equal(cache.get('fits'), undefined, 'and does not leave an older value');
});

test('a part counts once for each generation that has an entry with it, and goes with the last of them', () => {
  const part = { key: 'part', bytes: 10 };
  const cache = new GenerationCache<number, typeof part, typeof part>(
    60,
    () => 5,
    (value) => value,
  );
  for (let n = 0; n < 4; n++) cache.set(n, part);
  assert.equal(cache.bytes, 30, 'a full generation');
  cache.set(4, part);
  assert.equal(cache.bytes, 45);
  assert.equal(cache.get(0), part);
  assert.equal(cache.bytes, 45, 'moved');
  assert.equal(cache.part('part'), part);
  for (let n = 10; n < 30; n++) cache.set(n, { key: 'another', bytes: 0 });
  assert.equal(cache.part('part'), undefined);
});

test('a walk comes to every entry, again and again, and holds no generation that is gone', () => {
  const cache = new GenerationCache<string, number>(40, () => 1);
  assert.equal(cache.next(), undefined);
  for (let value = 0; value < 30; value++) cache.set(`k${value}`, value);
  const round = () => new Set(Array.from({ length: 30 }, () => cache.next()?.[1]));
  assert.equal(round().size, 30);
  assert.equal(round().size, 30);
  for (let value = 100; value < 200; value++) cache.set(`k${value}`, value);
  for (let step = 0; step < 100; step++) assert.ok((cache.next()?.[1] ?? 0) >= 100, 'only what is there');
  cache.clear();
  assert.equal(cache.next(), undefined);
});

/** What the layout promises (CONTRIBUTING.md), checked on the source. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const sources = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') || file.endsWith('.mjs'))
    .map((file) => ({ path: `${folder}/${file}`, text: readFileSync(`${folder}/${file}`, 'utf8') }));
const src = sources('src');

test('the core is pure: no I/O, no clock, no environment, nothing of the other layers', () => {
  const allowed = /^(node:(crypto|util|zlib)|jose|zod|\.\.?\/[a-z/-]+\.ts)$/;
  for (const { path, text } of src.filter((file) => file.path.startsWith('src/core/'))) {
    for (const [, name = ''] of text.matchAll(/from '([^']+)'/g)) {
      assert.match(name, allowed, path);
      assert.ok(!name.startsWith('../') || path.startsWith('src/core/grants/'), `${path} imports ${name}`);
    }
    assert.doesNotMatch(text, /Date\.now|new Date\(\)|Math\.random|process\.|setTimeout|setInterval|fetch\(/, path);
  }
});

test('what decides about memory is pure: clocks and stores are given to it', () => {
  for (const { path, text } of src.filter((file) => file.path.startsWith('src/coherence/'))) {
    for (const [, name = ''] of text.matchAll(/from '([^']+)'/g)) assert.match(name, /^(\.|\.\.\/core)\/[a-z-]+\.ts$/, path);
    assert.doesNotMatch(text, /Date\.now|new Date\(\)|performance\.|Math\.random|process\.|setTimeout|setInterval|fetch\(/, path);
  }
});

test('the client of etcd stands alone: nothing but Node and itself; what is built on it knows the core, what nodes need, and the log', () => {
  const builtOnIt = /^src\/etcd\/(bus|mirror|seal|shared|writer|room)\.ts$/;
  for (const { path, text } of src.filter((file) => file.path.startsWith('src/etcd/'))) {
    const allowed = builtOnIt.test(path)
      ? /^(node:[a-z0-9/]+|pino|\.\/[a-z-]+\.ts|\.\.\/(core\/[a-z-]+|coherence\/ports)\.ts)$/
      : /^(node:[a-z0-9/]+|\.\/[a-z-]+\.ts)$/;
    for (const [, name = ''] of text.matchAll(/from '([^']+)'/g)) assert.match(name, allowed, path);
  }
});

test('the library for resource servers stands alone: nothing but Node, fetch and itself', () => {
  for (const { path, text } of src.filter((file) => file.path.startsWith('src/resource-server/'))) {
    for (const [, name = ''] of text.matchAll(/from '([^']+)'/g))
      assert.match(name, /^(node:(crypto|http|timers\/promises)|\.\/[a-z-]+\.ts)$/, path);
  }
});

test('the environment is read in config.ts, on the command line and by the private PostgreSQL only', () => {
  for (const { path, text } of src) {
    if (/^src\/(cli\/|postgres\/embedded)/.test(path)) continue;
    assert.doesNotMatch(text, /process\.env/, path);
  }
});

test('no file is over 400 lines, and src is two levels deep', () => {
  for (const { path, text } of [...src, ...sources('test'), ...sources('bench')]) assert.ok(text.split('\n').length <= 401, path);
  for (const { path } of src) assert.ok(path.split('/').length <= 3 || path.startsWith('src/core/grants/'), path);
});

test('at most 40 packages in production, and no host of a registry in the lock file', () => {
  const lock = readFileSync('package-lock.json', 'utf8');
  assert.doesNotMatch(lock, /https?:\/\/[^"]*\.tgz/);
  const packages = Object.values(JSON.parse(lock).packages as Record<string, { dev?: boolean; os?: string[]; cpu?: string[] }>).slice(1);
  const here = packages.filter(({ dev, os, cpu }) => !dev && (os?.includes('linux') ?? true) && (cpu?.includes('x64') ?? true));
  assert.ok(here.length <= 40, String(here.length));
});

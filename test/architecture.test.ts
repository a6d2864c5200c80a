/** Rules of the source that no compiler checks. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FILE_LINES_MAX = 400;
const PRODUCTION_PACKAGES_MAX = 40;

interface Source {
  /** from the root, as `src/core/scope.ts` */
  readonly path: string;
  readonly text: string;
}

function sources(folder: string): readonly Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') }));
}

function importsOf({ text }: Source): readonly string[] {
  const found = text.matchAll(/\b(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g);
  return [...found].map(([, from, bare]) => from ?? bare ?? '');
}

/** Code without comments: what a rule is about, a comment may name. */
function codeOf({ text }: Source): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

const CORE = sources('src/core');
const SRC = sources('src');

test('the rules look at something', () => {
  assert.ok(CORE.length > 10 && SRC.length > 30);
  assert.deepEqual(
    importsOf({ path: '', text: `import { a } from 'x';\nimport type {\n b\n} from "y";\nimport 'z';\nexport * from 'w';` }),
    ['x', 'y', 'z', 'w'],
  );
  assert.ok(CORE.flatMap(importsOf).includes('node:crypto'));
});

test('src/core imports nothing that does I/O: core files, zod and three modules of Node', () => {
  const allowed = ['node:crypto', 'node:util', 'node:zlib', 'zod'];
  for (const source of CORE) {
    for (const from of importsOf(source)) {
      const isCore = from.startsWith('.') && relative('src/core', join(dirname(source.path), from)).split('/')[0] !== '..';
      assert.ok(isCore || allowed.includes(from), `${source.path} imports ${from}`);
    }
  }
});

test('src/core has no clock, no chance but node:crypto, no environment, no output', () => {
  const forbidden =
    /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\s*\)|\bMath\.random\b|\bprocess\.|\bperformance\.|\bconsole\.|\bfetch\(|\bset(Timeout|Interval|Immediate)\b|\brequire\(/;
  for (const source of CORE) assert.doesNotMatch(codeOf(source), forbidden, source.path);
});

test('src/http speaks no SQL and src/postgres no HTTP: they meet in src/server.ts', () => {
  for (const [layer, other] of [
    ['http', 'postgres'],
    ['postgres', 'http'],
    ['http', 'cli'],
    ['postgres', 'cli'],
    ['cli', 'postgres/clients'],
  ]) {
    for (const source of SRC.filter(({ path }) => path.startsWith(`src/${layer}/`))) {
      for (const from of importsOf(source).filter((name) => name.startsWith('.'))) {
        assert.ok(!relative(ROOT, resolve(ROOT, dirname(source.path), from)).startsWith(`src/${other}`), `${source.path} imports ${from}`);
      }
    }
  }
  for (const source of SRC.filter(({ path }) => path.startsWith('src/http/'))) assert.ok(!importsOf(source).includes('pg'), source.path);
});

test(`no file has more than ${FILE_LINES_MAX} lines`, () => {
  for (const { path, text } of [...SRC, ...sources('test'), ...sources('bench'), ...sources('scripts')]) {
    const lines = text.split('\n').length - 1;
    assert.ok(lines <= FILE_LINES_MAX, `${path} has ${lines}`);
  }
});

test('two levels under src at most', () => {
  for (const { path } of SRC) assert.ok(path.split('/').length <= 4, path);
});

test('the environment is read in src/config.ts, src/cli and the launcher of the private PostgreSQL only', () => {
  const mayRead = /^src\/(config\.ts|cli\/.*|postgres\/embedded[^/]*)$/;
  for (const source of SRC.filter(({ path }) => !mayRead.test(path))) {
    assert.doesNotMatch(codeOf(source), /\bprocess\.env\b|\benv\b[^'"]*\bfrom 'node:process'/, source.path);
  }
});

interface LockedPackage {
  readonly dev?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

test(`production installs ${PRODUCTION_PACKAGES_MAX} packages at most (linux-x64, glibc)`, () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Record<string, LockedPackage> };
  const installed = Object.entries(packages).filter(
    ([path, { dev = false, os = ['linux'], cpu = ['x64'], libc = ['glibc'] }]) =>
      path !== '' && !dev && os.includes('linux') && cpu.includes('x64') && libc.includes('glibc'),
  );
  assert.ok(installed.length > 5);
  assert.ok(installed.length <= PRODUCTION_PACKAGES_MAX, `${installed.length}: ${installed.map(([path]) => path)}`);
});

test('package-lock.json names no registry host, so that it installs from any mirror', () => {
  assert.doesNotMatch(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'), /"resolved"|:\/\/registry\./);
});

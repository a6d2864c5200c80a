/** The Dockerfile, as far as it can be judged without an engine. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readDockerfile } from './files.ts';

const instructions = readDockerfile('deployment/Dockerfile');
const last = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'));
const only = (name: string) => last.filter((instruction) => instruction.name === name).map(({ rest }) => rest);
/** Paths of the repository that go into the image or its build. */
const sources = instructions
  .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from='))
  .flatMap(({ rest }) => rest.split(/ +/).slice(0, -1));

test('every stage is from one Node, pinned', () => {
  const images = instructions.filter(({ name }) => name === 'FROM').map(({ rest }) => rest.split(' ')[0]);
  assert.equal(new Set(images).size, 1);
  assert.match(images[0] ?? '', /^node:\d+\.\d+\.\d+-\w+-slim$/);
});

test('what is copied exists, and .dockerignore lets it through', () => {
  const allowed = readFileSync('.dockerignore', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  for (const source of sources) assert.ok(existsSync(source), source);
  assert.deepEqual([...new Set(sources.map((source) => source.replace(/^\.\//, '')))].sort(), allowed.sort());
});

test('what is copied from a stage was made there', () => {
  const stages = new Set(instructions.filter(({ name }) => name === 'FROM').map(({ rest }) => / AS (\w+)$/.exec(rest)?.[1]));
  for (const copy of only('COPY')) {
    const [, stage, path] = /^--from=(\w+) \/app\/(\S+)/.exec(copy) ?? [];
    if (stage === undefined) continue;
    assert.ok(stages.has(stage), stage);
    assert.ok(path === 'dist/src' || path === 'node_modules', path);
  }
});

test('it runs as an unprivileged user by number, without a shell, and says if it lives', () => {
  assert.match(only('USER').at(-1) ?? '', /^[1-9]\d*:[1-9]\d*$/);
  for (const name of ['ENTRYPOINT', 'CMD']) assert.match(only(name)[0] ?? '', /^\[".*"\]$/, name);
  assert.match(only('HEALTHCHECK')[0] ?? '', /CMD \["node", "deployment\/healthcheck\.mjs"\]$/);
  assert.deepEqual(only('EXPOSE'), ['8080']);
  assert.deepEqual(only('RUN'), [], 'nothing is installed in the last stage');
});

test('dependencies come from the lock file, without those of development and without the private PostgreSQL', () => {
  const installs = instructions.filter(({ name, rest }) => name === 'RUN' && rest.includes('npm')).map(({ rest }) => rest);
  assert.ok(installs.some((rest) => /^npm ci --omit=dev --omit=optional /.test(rest)));
  for (const rest of installs) assert.match(rest, /^npm (ci|run build)/);
});

test('its version is that of the package', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  assert.ok(only('ARG').includes(`VERSION=${version}`));
});

/** The tables say what etcd's own proto files say. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as messages from '../../src/etcd/messages.ts';
import type { Enumeration, Field, Message } from '../../src/etcd/wire.ts';

interface ProtoField {
  readonly type: string;
  readonly number: number;
  readonly isRepeated: boolean;
  readonly isInOneof: boolean;
}

/** dbSize, TTL and raft_term are all written as JavaScript does here. */
const plain = (name: string) => name.replaceAll('_', '').toLowerCase();

const proto = ['rpc', 'kv'].map((file) => readFileSync(`test/etcd/proto/${file}.proto`, 'utf8')).join('\n');
const { declared, enumerations } = parse(proto);
const tables = Object.values(messages).filter((value): value is typeof value & Message => typeof value === 'object' && 'byNumber' in value);

/** As much of the language as these files use. */
function parse(text: string) {
  const declared = new Map<string, Map<string, ProtoField>>();
  const enumerations = new Map<string, string[]>();
  const open: { kind: string; name: string }[] = [];
  for (const line of text.replaceAll(/\/\/.*/g, '').split('\n')) {
    const [, kind, name = ''] = /^\s*(message|enum|oneof|service)\s+(\w+)\s*\{/.exec(line) ?? [];
    if (kind === 'message') declared.set(name, new Map());
    if (kind === 'enum') enumerations.set(name, []);
    if (kind) open.push({ kind, name });
    const owner = open.findLast((block) => block.kind === 'message' || block.kind === 'enum');
    const [, label, type = '', fieldName = '', number] = /^\s*(repeated\s+)?([\w.]+)\s+(\w+)\s*=\s*(\d+)/.exec(line) ?? [];
    if (owner?.kind === 'message' && number !== undefined && type !== 'package') {
      const isInOneof = open.at(-1)?.kind === 'oneof';
      declared.get(owner.name)?.set(plain(fieldName), { type, number: Number(number), isRepeated: label !== undefined, isInOneof });
    }
    const [, value, at] = /^\s*(\w+)\s*=\s*(\d+);/.exec(line) ?? [];
    if (owner?.kind === 'enum' && value && enumerations.get(owner.name)?.push(value) !== Number(at) + 1)
      assert.fail(`${owner.name}: not in order`);
    if (/\}\s*$/.test(line) && !/\{.*\}/.test(line)) open.pop();
    if (kind && /\{\s*\}/.test(line)) open.pop();
  }
  return { declared, enumerations };
}

function typeName(type: Field['type'], expected: string): string {
  if (typeof type === 'string') return type === 'id64' ? 'int64' : type;
  if ('fields' in type) return type.name;
  const [, names] = [...enumerations].find(([name]) => name === expected) ?? [];
  assert.deepEqual((type as Enumeration).names, names, expected);
  return expected;
}

test('the parser has understood the files', () => {
  assert.equal(declared.size, tables.length);
  assert.deepEqual(declared.get('RequestOp')?.get('requesttxn'), { type: 'TxnRequest', number: 4, isRepeated: false, isInOneof: true });
  assert.deepEqual(enumerations.get('EventType'), ['PUT', 'DELETE']);
});

for (const { name, fields } of tables) {
  test(`${name}: numbers, types and rules are etcd's`, () => {
    const theirs = declared.get(name);
    assert.ok(theirs, 'etcd has such a message');
    for (const [ours, { number, type, rule }] of Object.entries(fields)) {
      const field = theirs.get(plain(ours));
      assert.ok(field, `${ours} is a field`);
      const expected = field.type.split('.').at(-1) as string;
      assert.deepEqual(
        { number, type: typeName(type, expected), isRepeated: rule === 'repeated' },
        { number: field.number, type: expected, isRepeated: field.isRepeated },
        ours,
      );
      // A scalar has a presence of its own in a oneof only.
      if (typeof type === 'string') assert.equal(rule === 'optional', field.isInOneof, ours);
    }
    assert.equal(new Set(Object.values(fields).map(({ number }) => number)).size, Object.keys(fields).length, 'each number once');
  });
}

test('methods have etcd’s paths and messages', () => {
  const services = [...proto.matchAll(/service (\w+) \{(.*?)\n\}/gs)].flatMap(([, service, body = '']) =>
    [...body.matchAll(/rpc (\w+)\((?:stream )?(\w+)\) returns \((?:stream )?(\w+)\)/g)].map(([, name, request, response]) => ({
      path: `/etcdserverpb.${service}/${name}`,
      request,
      response,
    })),
  );
  const ours = Object.values(messages.METHODS).map(({ path, request, response }) => ({
    path,
    request: request.name,
    response: response.name,
  }));
  const sorted = <T extends { path: string }>(list: readonly T[]) => list.toSorted((a, b) => a.path.localeCompare(b.path));
  assert.deepEqual(sorted(ours), sorted(services));
});

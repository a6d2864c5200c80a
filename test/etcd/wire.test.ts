/** The encoding: what is written is read again, what others add is skipped, and what is broken is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyValue, RequestOp, TxnRequest, WatchCreateRequest, WatchResponse } from '../../src/etcd/messages.ts';
import {
  decode,
  type Enumeration,
  encode,
  type Input,
  type Message,
  message,
  one,
  optional,
  repeated,
  WireError,
} from '../../src/etcd/wire.ts';

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Any value of a table. */
function anyOf(table: Message): fc.Arbitrary<Input<Message>> {
  const fields = Object.entries(table.fields).map(([name, { type, rule }]) => {
    const value = typeOf(type);
    const given =
      rule === 'repeated' ? fc.array(value, { maxLength: 4 }) : rule === 'optional' ? fc.option(value, { nil: undefined }) : value;
    return [name, given] as const;
  });
  // A field that is not there is not there, as in what is decoded.
  return fc
    .record(Object.fromEntries(fields))
    .map((value) => Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Input<Message>);
}

function typeOf(type: Message | Enumeration | string): fc.Arbitrary<unknown> {
  if (typeof type === 'object') return 'names' in type ? fc.constantFrom(...type.names) : anyOf(type);
  const scalars: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    bytes: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    string: fc.string({ unit: 'grapheme' }),
    bool: fc.boolean(),
    int64: fc.maxSafeInteger(),
    id64: fc.bigInt({ min: INT64_MIN, max: INT64_MAX }),
    uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  };
  return scalars[type] as fc.Arbitrary<unknown>;
}

for (const table of [KeyValue, TxnRequest, WatchCreateRequest, WatchResponse]) {
  test(`${table.name}: what is encoded is decoded again`, () => {
    fc.assert(fc.property(anyOf(table), (value) => assert.deepEqual(decode(table, encode(table, value)), value)));
  });

  test(`${table.name}: bytes of any kind are read or refused, and never anything else`, () => {
    const broken = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.tuple(anyOf(table), fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
        const bytes = encode(table, value);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        return bytes;
      }),
    );
    fc.assert(
      fc.property(broken, (bytes) => {
        try {
          decode(table, bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
    );
  });
}

test('bytes as protoc writes them', () => {
  const lease = 7587862094143132160n;
  const bytes = encode(RequestOp, { requestPut: { key: 'k', value: 'v', lease, prevKv: true } });
  // protoc --encode: request_put { key: "k" value: "v" lease: 7587862094143132160 prev_kv: true }
  assert.equal(bytes.toString('hex'), `12120a016b120176${leaseField(lease)}2001`);
  assert.deepEqual(decode(RequestOp, bytes).requestPut, { key: Buffer.from('k'), value: Buffer.from('v'), lease, prevKv: true });
});

/** Field 3 as a varint, by the book. */
function leaseField(lease: bigint): string {
  const groups: bigint[] = [];
  for (let rest = lease; rest > 0n; rest >>= 7n) groups.push(rest & 127n);
  return `18${groups.map((group, i) => (group + (i < groups.length - 1 ? 128n : 0n)).toString(16).padStart(2, '0')).join('')}`;
}

test('defaults take no bytes, but a member of a oneof says which one it is', () => {
  assert.equal(encode(KeyValue, { key: '', version: 0, lease: 0n }).length, 0);
  assert.equal(encode(RequestOp, { requestRange: {} }).toString('hex'), '0a00');
  const union = message('Union', { version: optional(4, 'int64') });
  assert.equal(encode(union, { version: 0 }).toString('hex'), '2000');
  assert.deepEqual([decode(union, Buffer.from('2000', 'hex')), decode(union, Buffer.alloc(0))], [{ version: 0 }, {}]);
});

test('fields that are not known are skipped, whatever their type', () => {
  const others = ['a00601', 'a1060102030405060708', 'a20603414243', 'a50601020304'].join('');
  const bytes = Buffer.concat([Buffer.from(others, 'hex'), encode(KeyValue, { key: 'k' }), Buffer.from(others, 'hex')]);
  assert.deepEqual(decode(KeyValue, bytes), decode(KeyValue, encode(KeyValue, { key: 'k' })));
});

test('numbers that are repeated may be packed or not', () => {
  const table = message('Numbers', { numbers: repeated(1, 'int64') });
  for (const hex of ['0a03018002', '08010880020a00']) assert.deepEqual(decode(table, Buffer.from(hex, 'hex')).numbers, [1, 256]);
});

const BROKEN: readonly [why: string, hex: string, expected: RegExp][] = [
  ['a tag without a value', '0a', /truncated/],
  ['a length that reaches beyond the end', '0a0541', /truncated/],
  ['a length beyond 2^53', '0affffffffffffffff7f41', /2\^53/],
  ['a negative length', '0affffffffffffffffff01', /truncated/],
  ['a varint that does not end', '10ffffff', /truncated/],
  ['a varint of more than ten bytes', '10ffffffffffffffffffff01', /ten bytes/],
  ['a revision beyond 2^53', '10ffffffffffffff7f', /2\^53/],
  ['a number where bytes should be', '0801', /KeyValue.key: of another type/],
  ['a group', '0b0c', /of another type/],
  ['a group that is not known', 'a306a406', /wire type 3/],
  ['the field 0', '0001', /without a number/],
];
for (const [why, hex, expected] of BROKEN) {
  test(`refused: ${why}`, () => assert.throws(() => decode(KeyValue, Buffer.from(hex, 'hex')), expected));
}

test('refused: values that do not fit into their fields', () => {
  const table = message('Values', { count: one(1, 'int64'), id: one(2, 'id64') });
  for (const count of [2 ** 53, 0.5, Number.NaN]) assert.throws(() => encode(table, { count }), WireError);
  for (const id of [2n ** 63n, INT64_MIN - 1n]) assert.throws(() => encode(table, { id }), WireError);
});

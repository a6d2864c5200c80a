/**
 * Protocol Buffers (proto3) by tables: as much of the encoding as etcd's messages use. A table is the only description of a message; its types
 * follow from it, and a test compares it with etcd's own proto files.
 *
 * int64 is a number (revisions, counts; beyond 2^53 is an error, never a rounded value) and id64 and uint64 are a bigint (lease ids have 63
 * bits). As in proto3 a field that is absent has the default of its type, except `optional`, which is for members of a oneof and for messages
 * whose absence means something.
 */

export type Scalar = 'bytes' | 'string' | 'bool' | 'int64' | 'id64' | 'uint64';

export interface Enumeration<Names extends readonly string[] = readonly string[]> {
  readonly names: Names;
}

export interface Message<Fields extends Readonly<Record<string, Field>> = Readonly<Record<string, Field>>> {
  /** as in etcd's proto */
  readonly name: string;
  readonly fields: Fields;
  readonly byNumber: ReadonlyMap<number, readonly [name: string, field: Field]>;
}

type Type = Scalar | Enumeration | Message;
type Rule = 'one' | 'optional' | 'repeated';

export interface Field<T = Type, R extends Rule = Rule> {
  readonly number: number;
  readonly type: T;
  readonly rule: R;
}

export const one = <const T extends Type>(number: number, type: T): Field<T, 'one'> => ({ number, type, rule: 'one' });
export const optional = <const T extends Type>(number: number, type: T): Field<T, 'optional'> => ({ number, type, rule: 'optional' });
export const repeated = <const T extends Type>(number: number, type: T): Field<T, 'repeated'> => ({ number, type, rule: 'repeated' });

/** @param names the first one has the number 0 */
export const enumeration = <const Names extends readonly string[]>(...names: Names): Enumeration<Names> => ({ names });

export function message<const Fields extends Readonly<Record<string, Field>>>(name: string, fields: Fields): Message<Fields> {
  return { name, fields, byNumber: new Map(Object.entries(fields).map(([key, field]) => [field.number, [key, field]])) };
}

interface ScalarValues {
  readonly bytes: Buffer;
  readonly string: string;
  readonly bool: boolean;
  readonly int64: number;
  readonly id64: bigint;
  readonly uint64: bigint;
}
type Value<T> = T extends Scalar
  ? ScalarValues[T]
  : T extends Enumeration<infer Names>
    ? Names[number]
    : T extends Message
      ? MessageOf<T>
      : never;
type Keys<Fields, R> = {
  [K in keyof Fields]: Fields[K] extends Field<unknown, infer Is> ? (Is extends R ? K : never) : never;
}[keyof Fields];
type TypeOf<F> = F extends Field<infer T, Rule> ? T : never;

/** What {@link decode} returns for a table. */
export type MessageOf<M> =
  M extends Message<infer Fields>
    ? { readonly [K in Keys<Fields, 'one'>]: Value<TypeOf<Fields[K]>> } & {
        readonly [K in Keys<Fields, 'repeated'>]: readonly Value<TypeOf<Fields[K]>>[];
      } & { readonly [K in Keys<Fields, 'optional'>]?: Value<TypeOf<Fields[K]>> }
    : never;

type Given<T> = T extends 'bytes' ? Uint8Array | string : T extends Message ? Input<T> : Value<T>;
type GivenField<F> = F extends Field<infer T, infer R> ? (R extends 'repeated' ? readonly Given<T>[] : Given<T>) : never;

/** What {@link encode} takes for a table: everything may be left out; bytes may be a string, which is sent as UTF-8. */
export type Input<M> = M extends Message<infer Fields> ? { readonly [K in keyof Fields]?: GivenField<Fields[K]> | undefined } : never;

/** Bytes that are not what the table says, or a value that does not fit into its field. */
export class WireError extends Error {}

const VARINT = 0;
const EIGHT_BYTES = 1;
const LENGTH = 2;
const FOUR_BYTES = 5;
const wireType = (type: Type) => (type === 'bytes' || type === 'string' || isMessage(type) ? LENGTH : VARINT);

export function encode<M extends Message>(table: M, value: Input<M>): Buffer {
  const parts: Uint8Array[] = [];
  write(parts, table, value as Readonly<Record<string, unknown>>);
  return Buffer.concat(parts);
}

function write(parts: Uint8Array[], table: Message, value: Readonly<Record<string, unknown>>): void {
  for (const [name, { number, type, rule }] of Object.entries(table.fields)) {
    const given = value[name];
    if (given === undefined) continue;
    const tag = number * 8 + wireType(type);
    if (rule !== 'repeated') {
      const payload = toBytes(type, given, `${table.name}.${name}`);
      // The default of a scalar says nothing in proto3, but a member of a oneof says which one it is.
      if (rule === 'one' && !isMessage(type) && isDefault(payload)) continue;
      push(parts, tag, payload);
      continue;
    }
    for (const item of given as readonly unknown[]) push(parts, tag, toBytes(type, item, `${table.name}.${name}`));
  }
}

interface Payload {
  readonly bytes: Uint8Array;
  readonly hasLength: boolean;
}

const isDefault = ({ bytes, hasLength }: Payload) => (hasLength ? bytes.length === 0 : bytes.length === 1 && bytes[0] === 0);

function push(parts: Uint8Array[], tag: number, { bytes, hasLength }: Payload): void {
  parts.push(varint(BigInt(tag)));
  if (hasLength) parts.push(varint(BigInt(bytes.length)));
  parts.push(bytes);
}

function toBytes(type: Type, value: unknown, field: string): Payload {
  if (isMessage(type)) return { bytes: encode(type, value as object), hasLength: true };
  if (type === 'bytes' || type === 'string') {
    return { bytes: typeof value === 'string' ? Buffer.from(value) : (value as Uint8Array), hasLength: true };
  }
  return { bytes: varint(toInteger(type, value, field)), hasLength: false };
}

function toInteger(type: Enumeration | 'bool' | 'int64' | 'id64' | 'uint64', value: unknown, field: string): bigint {
  if (type === 'bool') return value ? 1n : 0n;
  if (typeof type === 'object') {
    const number = type.names.indexOf(value as string);
    if (number < 0) throw new WireError(`${field}: no such value`);
    return BigInt(number);
  }
  if (type === 'int64' && !Number.isSafeInteger(value)) throw new WireError(`${field}: not a safe integer`);
  const integer = BigInt(value as number | bigint);
  const fits = type === 'uint64' ? BigInt.asUintN(64, integer) : BigInt.asIntN(64, integer);
  if (fits !== integer) throw new WireError(`${field}: more than 64 bits`);
  return integer;
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

interface Cursor {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
}

/** Fields that the table does not know are skipped. @throws WireError — truncated, malformed, or of another type than the table says */
export function decode<M extends Message>(table: M, bytes: Uint8Array): MessageOf<M> {
  return read({ bytes, at: 0, end: bytes.length }, table) as MessageOf<M>;
}

function read(cursor: Cursor, table: Message): object {
  const value: Record<string, unknown> = {};
  for (const [name, { type, rule }] of Object.entries(table.fields)) {
    if (rule === 'repeated') value[name] = [];
    if (rule === 'one') value[name] = defaultOf(type);
  }
  while (cursor.at < cursor.end) {
    const tag = readNumber(cursor);
    const wire = tag % 8;
    const known = table.byNumber.get((tag - wire) / 8);
    if (tag < 8) throw new WireError(`${table.name}: a field without a number`);
    if (!known) {
      skip(cursor, wire);
      continue;
    }
    const [name, { type, rule }] = known;
    const items = value[name] as unknown[];
    if (wire === wireType(type)) {
      const item = readValue(cursor, type, `${table.name}.${name}`);
      if (rule === 'repeated') items.push(item);
      else value[name] = item;
    } else if (rule === 'repeated' && wire === LENGTH) {
      // Packed, as proto3 sends numbers by default.
      const packed = readLength(cursor);
      while (packed.at < packed.end) items.push(readValue(packed, type, `${table.name}.${name}`));
    } else {
      throw new WireError(`${table.name}.${name}: of another type`);
    }
  }
  return value;
}

function defaultOf(type: Type): unknown {
  if (isMessage(type)) return read({ bytes: Buffer.alloc(0), at: 0, end: 0 }, type);
  if (typeof type === 'object') return type.names[0];
  const defaults: ScalarValues = { bytes: Buffer.alloc(0), string: '', bool: false, int64: 0, id64: 0n, uint64: 0n };
  return defaults[type];
}

function readValue(cursor: Cursor, type: Type, field: string): unknown {
  if (isMessage(type)) return read(readLength(cursor), type);
  if (type === 'int64') return readNumber(cursor);
  if (type === 'id64') return BigInt.asIntN(64, readInteger(cursor));
  if (type === 'uint64') return readInteger(cursor);
  if (type === 'bool') return readInteger(cursor) !== 0n;
  if (type === 'bytes' || type === 'string') {
    const { bytes, at, end } = readLength(cursor);
    // A copy: who keeps a key of a message must not keep the whole message in memory.
    const copy = Buffer.from(bytes.subarray(at, end));
    return type === 'bytes' ? copy : copy.toString();
  }
  const name = type.names[readNumber(cursor)];
  if (name === undefined) throw new WireError(`${field}: no such value`);
  return name;
}

/** Seven bytes hold 49 bits, which arithmetic on numbers does exactly; revisions rarely have more. */
function readNumber(cursor: Cursor): number {
  const start = cursor.at;
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 7; i++) {
    const byte = next(cursor);
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
    scale *= 0x80;
  }
  cursor.at = start;
  const integer = Number(BigInt.asIntN(64, readInteger(cursor)));
  if (!Number.isSafeInteger(integer)) throw new WireError('a number beyond 2^53');
  return integer;
}

function readInteger(cursor: Cursor): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = next(cursor);
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new WireError('a number of more than ten bytes');
}

function next(cursor: Cursor): number {
  const byte = cursor.at < cursor.end ? cursor.bytes[cursor.at++] : undefined;
  if (byte === undefined) throw new WireError('truncated');
  return byte;
}

/** @returns a cursor over the bytes of a length-delimited field; the given one is moved behind them */
function readLength(cursor: Cursor): Cursor {
  const length = readNumber(cursor);
  advance(cursor, length);
  return { bytes: cursor.bytes, at: cursor.at - length, end: cursor.at };
}

function skip(cursor: Cursor, wire: number): void {
  if (wire === VARINT) readInteger(cursor);
  else if (wire === LENGTH) readLength(cursor);
  else if (wire === EIGHT_BYTES) advance(cursor, 8);
  else if (wire === FOUR_BYTES) advance(cursor, 4);
  else throw new WireError(`wire type ${wire}`);
}

function advance(cursor: Cursor, length: number): void {
  if (length < 0 || length > cursor.end - cursor.at) throw new WireError('truncated');
  cursor.at += length;
}

function isMessage(type: Type): type is Message {
  return typeof type === 'object' && 'fields' in type;
}

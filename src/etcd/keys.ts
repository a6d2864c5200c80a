/** Keys, and ranges of them. Strings are UTF-8. */
export type Key = Uint8Array | string;

/** One key, all keys of a prefix, or all from `key` to before `rangeEnd`. */
export type KeyRange =
  | { readonly key: Key; readonly rangeEnd?: Key; readonly prefix?: never }
  | { readonly prefix: Key; readonly key?: never; readonly rangeEnd?: never };

const ALL_FROM_HERE = Buffer.of(0);

/** The first key that is behind all keys of the prefix. */
export function prefixEnd(prefix: Key): Buffer {
  const end = Buffer.from(prefix as Uint8Array);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] as number;
    if (byte === 0xff) continue;
    end[i] = byte + 1;
    return end.subarray(0, i + 1);
  }
  return ALL_FROM_HERE;
}

/** @returns the range as etcd wants it; what else was given stays as it is */
export function toRange<R extends KeyRange>(range: R): Omit<R, 'prefix'> & { readonly key: Key; readonly rangeEnd?: Key | undefined } {
  const { prefix, ...rest } = range;
  if (prefix === undefined) return { ...rest, key: range.key as Key };
  return { ...rest, key: prefix.length > 0 ? prefix : ALL_FROM_HERE, rangeEnd: prefixEnd(prefix) };
}

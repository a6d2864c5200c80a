/**
 * A map bounded by bytes. Two generations: what is used moves to the young one; when that has half of the bound it becomes the old one, and
 * what was not used since the last time is gone. So a hit has no list to keep in order, and a flood of new entries costs one use each.
 */

/** What many entries refer to. It is kept, and counted, once for each generation that has an entry which does. */
export interface Part {
  /** equal parts have the same */
  readonly key: string;
  readonly bytes: number;
}

interface Generation<Key, Value, Common> {
  readonly entries: Map<Key, Value>;
  readonly parts: Map<string, Common>;
  bytes: number;
}

export class GenerationCache<Key, Value, Common extends Part = never> {
  readonly #generationBytesMax: number;
  readonly #sizeOf: (value: Value, key: Key) => number;
  readonly #partOf: ((value: Value) => Common) | undefined;
  #young = emptyGeneration<Key, Value, Common>();
  #old = emptyGeneration<Key, Value, Common>();
  #walk: { readonly of: Generation<Key, Value, Common>; readonly entries: Iterator<[Key, Value]> } | undefined;

  /** @param sizeOf bytes that an entry takes, its key and map slot included, its part not; always the same for the same entry */
  constructor(bytesMax: number, sizeOf: (value: Value, key: Key) => number, partOf?: (value: Value) => Common) {
    this.#generationBytesMax = bytesMax / 2;
    this.#sizeOf = sizeOf;
    this.#partOf = partOf;
  }

  get size(): number {
    return this.#young.entries.size + this.#old.entries.size;
  }

  get bytes(): number {
    return this.#young.bytes + this.#old.bytes;
  }

  get(key: Key): Value | undefined {
    const young = this.#young.entries.get(key);
    if (young !== undefined) return young;
    const old = this.#old.entries.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: Key, value: Value): void {
    this.delete(key);
    const part = this.#partOf?.(value);
    const bytes = this.#sizeOf(value, key);
    const bytesInYoung = () => bytes + (part && !this.#young.parts.has(part.key) ? part.bytes : 0);
    if (bytes + (part?.bytes ?? 0) > this.#generationBytesMax) return;
    if (this.#young.bytes + bytesInYoung() > this.#generationBytesMax) {
      this.#old = this.#young;
      this.#young = emptyGeneration();
    }
    this.#young.bytes += bytesInYoung();
    this.#young.entries.set(key, value);
    if (part) this.#young.parts.set(part.key, part);
  }

  /** A part that an entry still refers to, or did lately. */
  part(key: string): Common | undefined {
    return this.#young.parts.get(key) ?? this.#old.parts.get(key);
  }

  delete(key: Key): void {
    for (const generation of [this.#young, this.#old]) {
      const value = generation.entries.get(key);
      if (value === undefined) continue;
      generation.entries.delete(key);
      generation.bytes -= this.#sizeOf(value, key);
    }
  }

  *values(): Generator<Value> {
    for (const { entries } of [this.#young, this.#old]) yield* entries.values();
  }

  /** The next entry on an endless way through all of them. What is used meanwhile moves, and may come twice on a way, or not at all. */
  next(): readonly [Key, Value] | undefined {
    // A generation that is gone must not be kept by who walks through it. At most: the rest of one, the other one, and this one anew.
    for (let turn = 0; turn < 3; turn++) {
      const entry = this.#walk && (this.#walk.of === this.#young || this.#walk.of === this.#old) ? this.#walk.entries.next() : undefined;
      if (entry && !entry.done) return entry.value;
      const of = entry && this.#walk?.of === this.#old ? this.#young : this.#old;
      this.#walk = { of, entries: of.entries.entries() };
    }
    return undefined;
  }

  clear(): void {
    this.#walk = undefined;
    this.#young = emptyGeneration();
    this.#old = emptyGeneration();
  }
}

function emptyGeneration<Key, Value, Common>(): Generation<Key, Value, Common> {
  return { entries: new Map(), parts: new Map(), bytes: 0 };
}

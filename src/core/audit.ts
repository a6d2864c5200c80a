/** What the audit says of a change: before and after, without what is nobody's business who may read it (docs/audit.md). */
import { clientMetadata } from './client-metadata.ts';
import type { ClientSettings } from './clients.ts';

type Members = Readonly<Record<string, unknown>>;

/** Longer ones are left out; what a client may hold in all would make a row of 64 KiB of each change. */
const VALUE_BYTES_MAX = 1_000;
const DETAIL_BYTES_MAX = 16_000;

/** A client as it was made, or as it was when it was deleted: by its wire names, of its claims the names only. */
export function clientDetail(settings: ClientSettings): Members {
  const { claims, ...metadata } = clientMetadata(settings);
  const members = Object.entries({ ...metadata, claims: { names: Object.keys(settings.claims).sort() } });
  return { metadata: bounded(members.map(([name, value]) => [name, short(value)])) };
}

/** The members of a client's metadata that are not what they were. */
export function clientChanges(before: ClientSettings, after: ClientSettings): Members {
  const [{ claims: _, ...from }, { claims: __, ...to }] = [clientMetadata(before), clientMetadata(after)];
  const changes = changedNames(from, to).map((name): [string, Members] => [
    name,
    { ...(name in from && { from: short(from[name]) }), ...(name in to && { to: short(to[name]) }) },
  ]);
  // A claim may be of a person, and the audit is read and kept by others than tokens are.
  const names = changedNames(before.claims, after.claims);
  return { changes: bounded(names.length === 0 ? changes : [...changes, ['claims', { names: short(names) }]]) };
}

function changedNames(from: Members, to: Members): readonly string[] {
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].filter((name) => canonical(from[name]) !== canonical(to[name])).sort();
}

/** The same text for the same value: PostgreSQL keeps the members of an object in an order of its own. */
function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function short(value: unknown): unknown {
  // Most are, and an import has a thousand times as many.
  if (typeof value !== 'object' && String(value).length <= VALUE_BYTES_MAX / 8) return value;
  const bytes = Buffer.byteLength(JSON.stringify(value));
  return bytes > VALUE_BYTES_MAX ? { omitted_bytes: bytes } : value;
}

function bounded(members: readonly (readonly [string, unknown])[]): Members {
  const whole = Object.fromEntries(members);
  // What the loop below would add up to.
  if (Buffer.byteLength(JSON.stringify(whole)) + members.length - 1 <= DETAIL_BYTES_MAX) return whole;
  const kept: (readonly [string, unknown])[] = [];
  let bytes = 0;
  for (const [name, value] of members) {
    bytes += Buffer.byteLength(JSON.stringify({ [name]: value }));
    if (bytes > DETAIL_BYTES_MAX) break;
    kept.push([name, value]);
  }
  const omitted = members.length - kept.length;
  return { ...Object.fromEntries(kept), ...(omitted > 0 && { omitted_members: omitted }) };
}

/**
 * Changes from node to node by a watch: `{prefix}changes/{seq}` is one entry of the change log, `{prefix}changes/{seq}/{node}` says that a node has
 * applied it. What is lost, late or twice here does no harm: every node reads the log as well (docs/coherence.md).
 */
import type { Announcement, Bus } from '../coherence/ports.ts';
import type { ChangeEntry } from '../core/ports.ts';
import type { Etcd } from './client.ts';
import type { Seal } from './seal.ts';
import type { Writer } from './writer.ts';

export interface BusOptions {
  readonly etcd: Pick<Etcd, 'watch'>;
  readonly writer: Writer;
  readonly seal: Seal;
  /** ends with a slash */
  readonly prefix: string;
  /** epoch seconds */
  readonly now: () => number;
  readonly onAnnouncement: (announcement: Announcement) => void;
  readonly onAcknowledgement: (announcement: Announcement, nodeId: string) => void;
  /** Something under the prefix that no node of ours wrote: it is ignored. */
  readonly onIgnored: () => void;
  /** Events may be missing: the change log has them. */
  readonly onGap: (reason: string) => void;
}

/** So long a message stays to be looked at; who was away for longer reads the log anyway. */
const KEPT_SECONDS = 300;
/** Beyond what any message of ours has: junk is not even parsed. */
const KEY_BYTES_MAX = 512;
const VALUE_BYTES_MAX = 4_096;
const ANNOUNCED = 'change';
const ACKNOWLEDGED = 'acknowledgement';
const KINDS: ReadonlySet<string> = new Set<ChangeEntry['kind']>(['token', 'client', 'client_record', 'keys', 'subject', 'all']);

export function openBus({ etcd, writer, seal, prefix, now, onAnnouncement, onAcknowledgement, onIgnored, onGap }: BusOptions): Bus & {
  close(): void;
} {
  const folder = `${prefix}changes/`;
  const receive = (key: string, value: string) => {
    const [seq, by, ...rest] = key.slice(folder.length).split('/');
    const announcement = rest.length === 0 ? read(value, by, seal) : undefined;
    if (!announcement || String(announcement.entry.seq) !== seq) onIgnored();
    else if (by === undefined) onAnnouncement(announcement);
    else onAcknowledgement(announcement, by);
  };
  const watch = etcd.watch(
    { prefix: folder },
    {
      onEvents(events) {
        for (const { type, kv } of events) {
          if (type !== 'PUT') continue;
          if (kv.key.length > KEY_BYTES_MAX || kv.value.length > VALUE_BYTES_MAX) onIgnored();
          else receive(kv.key.toString(), kv.value.toString());
        }
      },
      onGap,
    },
  );
  return {
    publish(announcement) {
      const { seq } = announcement.entry;
      writer.write(() => [{ key: `${folder}${seq}`, value: written(announcement, undefined, seal), expiresAt: now() + KEPT_SECONDS }]);
    },
    acknowledge(announcement, nodeId) {
      const { seq } = announcement.entry;
      writer.write(() => [
        { key: `${folder}${seq}/${nodeId}`, value: written(announcement, nodeId, seal), expiresAt: now() + KEPT_SECONDS },
      ]);
    },
    close: () => watch.close(),
  };
}

function written({ epoch, from, entry }: Announcement, by: string | undefined, seal: Seal): string {
  const { seq, kind, key, expiresAt } = entry;
  const issuedBefore = issuedBeforeOf(entry);
  const mac = seal.authenticate(by === undefined ? ANNOUNCED : ACKNOWLEDGED, partsOf({ epoch, from, entry }, by));
  return JSON.stringify({ epoch, from, seq, kind, key, expires_at: expiresAt, issued_before: issuedBefore, by, mac });
}

function read(value: string, by: string | undefined, seal: Seal): Announcement | undefined {
  const { epoch, from, seq, kind, key, expires_at: expiresAt, issued_before: issuedBefore, mac } = parse(value);
  const isText = [epoch, from, kind, key, mac].every((member) => typeof member === 'string');
  if (!isText || !Number.isSafeInteger(seq) || !Number.isFinite(expiresAt) || !KINDS.has(kind as string)) return undefined;
  if (issuedBefore !== undefined && !Number.isSafeInteger(issuedBefore)) return undefined;
  const announcement = {
    epoch,
    from,
    entry: { seq, kind, key, expiresAt, ...(issuedBefore !== undefined && { issuedBefore }) },
  } as Announcement;
  const isAuthentic = seal.isAuthentic(by === undefined ? ANNOUNCED : ACKNOWLEDGED, partsOf(announcement, by), mac as string);
  return isAuthentic ? announcement : undefined;
}

/** Without a second they are what servers without bulk revocations write and read. */
function partsOf({ epoch, from, entry }: Announcement, by: string | undefined): string[] {
  const { seq, kind, key, expiresAt } = entry;
  const issuedBefore = issuedBeforeOf(entry);
  const more = [...(issuedBefore === undefined ? [] : [String(issuedBefore)]), ...(by === undefined ? [] : [by])];
  return [epoch, from, String(seq), kind, key, String(expiresAt), ...more];
}

function issuedBeforeOf(entry: ChangeEntry): number | undefined {
  return 'issuedBefore' in entry ? entry.issuedBefore : undefined;
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

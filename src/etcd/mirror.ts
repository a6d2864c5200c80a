/**
 * The shared cache, in the keys of docs/storage.md. Tokens are read back; of a client only operators read, and it is looked up in PostgreSQL. All of it
 * may be deleted at any moment.
 */
import type { SharedCache } from '../coherence/ports.ts';
import { clientMetadata } from '../core/client-metadata.ts';
import type { Client } from '../core/clients.ts';
import type { KnownClient } from '../core/ports.ts';
import type { Etcd } from './client.ts';
import type { Seal } from './seal.ts';
import type { Write, Writer } from './writer.ts';

export interface MirrorOptions {
  readonly etcd: Pick<Etcd, 'range' | 'txn' | 'state'>;
  readonly writer: Writer;
  readonly seal: Seal;
  /** ends with a slash */
  readonly prefix: string;
  /** of the change log; `undefined` as long as it is not known */
  readonly epoch: () => string | undefined;
  /** whether more may be written */
  readonly hasRoom: () => boolean;
  /** milliseconds that only grow */
  readonly monotonic: () => number;
  readonly onRead: (outcome: 'hit' | 'miss' | 'ignored' | 'failed') => void;
}

export interface Mirror extends SharedCache {
  /** Makes sure that the cache says which history it is of. @returns what was there instead: `wiped`, or another history @throws EtcdError */
  claim(): Promise<'ours' | 'wiped' | 'other'>;
  /** What was written lately may not be there. */
  forget(): void;
}

/** Longer than a usual answer; a slower etcd is no help. */
const READ_MS = 50;
/** After an answer that did not come: nobody waits for the next ones either. */
const PAUSE_MS = 1_000;
/** Versions of clients that are known to be there, so that a failed authentication is not a write to etcd. */
const CLIENTS_MAX = 10_000;

export function openMirror({ etcd, writer, seal, prefix, epoch, hasRoom, monotonic, onRead }: MirrorOptions): Mirror {
  const written = new Map<string, string>();
  let readAgainAt = Number.NEGATIVE_INFINITY;
  /** revision in which the epoch's key was made */
  let madeAt: number | undefined;
  const keyOf = (tokenHash: string) => `${prefix}tokens/${tokenHash}`;
  return {
    async findToken(tokenHash) {
      const history = epoch();
      if (history === undefined || etcd.state().status !== 'connected' || monotonic() < readAgainAt) return undefined;
      try {
        const { kvs } = await etcd.range({ key: keyOf(tokenHash) }, { deadlineMs: READ_MS });
        const record = kvs[0] && seal.openToken(kvs[0].value.toString(), tokenHash, history);
        onRead(record ? 'hit' : kvs[0] ? 'ignored' : 'miss');
        return record;
      } catch {
        readAgainAt = monotonic() + PAUSE_MS;
        onRead('failed');
        return undefined;
      }
    },
    keepToken(record) {
      const history = epoch();
      if (history === undefined || !hasRoom() || etcd.state().status !== 'connected') return;
      writer.write(() => [{ key: keyOf(record.tokenHash), value: seal.sealToken(record, history), expiresAt: record.expiresAt }]);
    },
    keepClient(clientId, known) {
      const history = epoch();
      if (history === undefined || etcd.state().status !== 'connected') return;
      if (!known) {
        written.delete(clientId);
        return writer.write(() => clientKeys(prefix, clientId).map((key) => ({ key, value: undefined })));
      }
      const version = versionOf(known);
      if (!hasRoom() || written.get(clientId) === version) return;
      if (written.size >= CLIENTS_MAX) written.clear();
      written.set(clientId, version);
      writer.write(() => clientWrites(prefix, known, history, seal));
    },
    async claim() {
      const history = epoch();
      if (history === undefined) return 'ours';
      const key = `${prefix}epoch`;
      const { succeeded, responses } = await etcd.txn({
        compare: [{ key, target: 'VALUE', result: 'EQUAL', value: Buffer.from(history) }],
        success: [{ requestRange: { key } }],
        failure: [{ requestRange: { key } }, { requestPut: { key, value: Buffer.from(history) } }],
      });
      const [found] = responses[0]?.responseRange?.kvs ?? [];
      // Another node may have been quicker: then the key is not the one that was there before.
      const isKnown = succeeded && (madeAt === undefined || madeAt === found?.createRevision);
      madeAt = succeeded ? found?.createRevision : undefined;
      if (isKnown) return 'ours';
      written.clear();
      return found && !succeeded ? 'other' : 'wiped';
    },
    forget: () => written.clear(),
  };
}

/** Changes whenever the client does: not with each position of the log, or every failed authentication would be a write to etcd. */
function versionOf({ client }: KnownClient): string {
  return [client.updatedAt.getTime(), ...client.secrets.map(({ id }) => id)].join(' ');
}

const FOLDERS = ['clients', 'scopes', 'claims', 'grants', 'settings'] as const;

function clientKeys(prefix: string, clientId: string): string[] {
  return FOLDERS.map((folder) => `${prefix}${folder}/${clientId}`);
}

/** The five keys of a client, readable; the last one authenticates them all. */
function clientWrites(prefix: string, { client, asOfSeq }: KnownClient, epoch: string, seal: Seal): Write[] {
  const { scope, claims, grant_types: _, ...rest } = clientMetadata(client);
  // Keyed, so that whoever reads etcd cannot try secrets that a person chose.
  const verifiers = client.secrets.map(({ verifier }) => `hmac-sha256:${seal.authenticate('verifier', [client.id, verifier])}`);
  const readable = [verifiers.join(' '), String(scope), JSON.stringify(claims), client.grantTypes.join(' ')];
  const settings = { ...rest, secrets: client.secrets.map(secretDates), epoch, seq: asOfSeq };
  const mac = seal.authenticate('client', [client.id, ...readable, JSON.stringify(settings)]);
  const values = [...readable, JSON.stringify({ ...settings, mac })];
  return clientKeys(prefix, client.id).map((key, index) => ({ key, value: values[index] ?? '' }));
}

function secretDates({ id, name, createdAt, expiresAt }: Client['secrets'][number]): object {
  return { id, name, created_at: createdAt, expires_at: expiresAt };
}

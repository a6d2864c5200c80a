/** What the contract suites run on, and the records that they write. */
import { randomUUID } from 'node:crypto';
import type { AccessTokenRecord } from '../../src/core/access-token.ts';
import { secretVerifier } from '../../src/core/client-auth.ts';
import { parseClientMetadata } from '../../src/core/client-metadata.ts';
import type { ClientSettings } from '../../src/core/clients.ts';
import {
  type AccessTokenStore,
  type Actor,
  type ChangeLog,
  type ClientAdministration,
  type ClientDirectory,
  type NewSecret,
  type RevocationStore,
  Unavailable,
} from '../../src/core/ports.ts';
import { hashToken, mintReferenceToken } from '../../src/core/reference-token.ts';
import type { Audit, Change } from '../support/memory-stores.ts';

/** An adapter under test, empty at first, with what an operator would see of it. */
export interface Stores {
  readonly directory: ClientDirectory;
  readonly administration: ClientAdministration;
  readonly tokens: AccessTokenStore;
  readonly revocations: RevocationStore;
  readonly log: ChangeLog;
  /** the change log, in its order */
  changes(): Promise<readonly Change[]>;
  /** the audit, in its order */
  audits(): Promise<readonly Audit[]>;
  close(): Promise<void>;
}

export type OpenStores = () => Promise<Stores>;

/** Epoch seconds: 2027-01-15T08:00:00Z. */
export const NOW = 1_800_000_000;

export const ACTOR: Actor = { clientId: 'admin', scope: ['auth:clients'], address: '192.0.2.7' };

/**
 * Calls again what answers {@link Unavailable}, as a caller would: many at once on a busy machine may wait longer for a connection than
 * the adapter's time-outs allow. The outcome may then be unknown, so what is called twice has to be right twice.
 */
export async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof Unavailable) || attempt === 20) throw error;
    }
  }
}

export const allow = (): void => undefined;

/** @param metadata by its wire names, RFC 7591 §2 */
export function settings(metadata: Readonly<Record<string, unknown>> = {}): ClientSettings {
  return parseClientMetadata(metadata);
}

export function newSecret(secret: string, members: Partial<NewSecret> = {}): NewSecret {
  return { name: undefined, expiresAt: undefined, verifier: secretVerifier(secret), ...members };
}

export function tokenRecord(members: Partial<AccessTokenRecord> = {}): AccessTokenRecord {
  return {
    tokenHash: hashToken(mintReferenceToken()),
    jti: randomUUID(),
    clientId: 'billing',
    subject: 'billing',
    scope: ['read', 'write'],
    audience: ['https://api.example.com'],
    claims: {},
    issuedAt: NOW,
    expiresAt: NOW + 3600,
    issuedSeq: 0,
    secretId: undefined,
    ...members,
  };
}

/** Signing keys: the private part is encrypted under `AUTH_ENCRYPTION_KEY` and never leaves this file but as a KeyObject. */
import { createCipheriv, createDecipheriv, createPrivateKey, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from '../core/clients.ts';
import type { SigningKeys } from '../core/ports.ts';
import { generateSigningKey, type PublicJwk, publicJwk, type SigningAlg, type SigningKey } from '../core/signing-key.ts';
import { writeAudit } from './audit.ts';
import { appendChange } from './changes.ts';
import type { Db, Queries } from './db.ts';

interface SigningKeyRow {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly private_key: Buffer;
}

const KEY_CREATION_LOCK = 0x61757468_03n;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** None of the keys in AUTH_ENCRYPTION_KEY opens a signing key: the operator has to find the right one. */
export class DecryptionError extends Error {}

export function signingKeys(db: Db, encryptionKeys: readonly Buffer[]): SigningKeys {
  const opened = new Map<string, SigningKey>();
  return {
    async current() {
      const row = await newest(db);
      if (!row) throw new Error('there is no signing key');
      const known = opened.get(row.kid);
      if (known) return known;
      const key = { kid: row.kid, alg: row.alg, privateKey: decrypt(row, encryptionKeys) };
      opened.set(row.kid, key);
      return key;
    },
    async all() {
      const rows = await db.query<{ public_jwk: PublicJwk }>({
        name: 'list-signing-keys',
        text: 'select public_jwk from signing_key order by created_at desc, kid',
      });
      return rows.map((row) => row.public_jwk);
    },
  };
}

/**
 * Makes the first key, or one of another algorithm when the configuration asks for it; the keys before stay published.
 *
 * @throws DecryptionError
 */
export async function ensureSigningKey(db: Db, alg: SigningAlg, encryptionKeys: readonly Buffer[]): Promise<void> {
  const isThere = async (on: Queries) => {
    const current = await newest(on);
    if (current) decrypt(current, encryptionKeys);
    return current?.alg === alg;
  };
  if (await isThere(db)) return;
  // Before the transaction: an RSA key may take seconds, and a transaction that does nothing for one is ended.
  const key = await generateSigningKey(alg);
  await db.transaction(async (tx) => {
    await tx.query({ text: 'select pg_advisory_xact_lock($1)', values: [KEY_CREATION_LOCK] });
    if (await isThere(tx)) return;
    await tx.query({
      text: 'insert into signing_key (kid, alg, public_jwk, private_key) values ($1, $2, $3, $4)',
      values: [key.kid, key.alg, publicJwk(key), encrypt(key, encryptionKeys)],
    });
    await writeAudit(tx, undefined, 'keys.create', key.kid, { alg });
    await appendChange(tx, 'keys', key.kid, Math.ceil(Date.now() / 1000) + ACCESS_TOKEN_TTL_MAX_SECONDS);
  });
}

async function newest(db: Queries): Promise<SigningKeyRow | undefined> {
  const [row] = await db.query<SigningKeyRow>({
    name: 'newest-signing-key',
    text: 'select kid, alg, private_key from signing_key order by created_at desc, kid limit 1',
  });
  return row;
}

function encrypt({ kid, privateKey }: SigningKey, [key]: readonly Buffer[]): Buffer {
  if (!key) throw new DecryptionError('AUTH_ENCRYPTION_KEY is missing');
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', createSecretKey(key), nonce).setAAD(Buffer.from(kid));
  return Buffer.concat([nonce, cipher.update(privateKey.export({ format: 'der', type: 'pkcs8' })), cipher.final(), cipher.getAuthTag()]);
}

function decrypt({ kid, private_key: sealed }: SigningKeyRow, keys: readonly Buffer[]): KeyObject {
  for (const key of keys) {
    try {
      const decipher = createDecipheriv('aes-256-gcm', createSecretKey(key), sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
      decipher.setAAD(Buffer.from(kid)).setAuthTag(sealed.subarray(-TAG_BYTES));
      const der = Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
      return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    } catch {
      // another key of the list may be the right one; what is cut short fits none
    }
  }
  throw new DecryptionError(`AUTH_ENCRYPTION_KEY does not open the signing key ${kid}: give the key that was set when it was made`);
}

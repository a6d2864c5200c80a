/** How a private signing key is stored: PKCS #8 under AES-256-GCM with a key of `AUTH_ENCRYPTION_KEY`, bound to its kid. */
import { createCipheriv, createDecipheriv, createPrivateKey, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { SigningKey } from '../core/signing-key.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** None of the keys in AUTH_ENCRYPTION_KEY opens a signing key: the operator has to find the right one. */
export class DecryptionError extends Error {}

/** @throws DecryptionError — there is no key to encrypt with */
export function sealKey({ kid, privateKey }: Pick<SigningKey, 'kid' | 'privateKey'>, [key]: readonly Buffer[]): Buffer {
  if (!key) throw new DecryptionError('AUTH_ENCRYPTION_KEY is missing');
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', createSecretKey(key), nonce).setAAD(Buffer.from(kid));
  return Buffer.concat([nonce, cipher.update(privateKey.export({ format: 'der', type: 'pkcs8' })), cipher.final(), cipher.getAuthTag()]);
}

/** @throws DecryptionError */
export function openKey(kid: string, sealed: Buffer, keys: readonly Buffer[]): KeyObject {
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

/**
 * The same private key under the first key of the list.
 *
 * @returns `undefined` if it is that already, or if no key of the list opens it
 */
export function resealKey(kid: string, sealed: Buffer, keys: readonly Buffer[]): Buffer | undefined {
  const [first, ...others] = keys;
  const privateKey = first && tryToOpen(kid, sealed, [first]) ? undefined : tryToOpen(kid, sealed, others);
  return privateKey && sealKey({ kid, privateKey }, keys);
}

function tryToOpen(kid: string, sealed: Buffer, keys: readonly Buffer[]): KeyObject | undefined {
  try {
    return openKey(kid, sealed, keys);
  } catch (error) {
    if (error instanceof DecryptionError) return undefined;
    throw error;
  }
}

/**
 * Whoever can write to etcd must not be able to make a token, to end one, or to acknowledge for a node: what is read there counts only with a key
 * that is derived from AUTH_ENCRYPTION_KEY. Tokens are encrypted as well, each under a key of its own.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { type AccessTokenRecord, accessTokenClaims, recordOfClaims } from '../core/access-token.ts';
import type { TokenHash } from '../core/reference-token.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Four times what the limits of scope, audience and claims allow. Whoever can write to etcd must not keep a node busy with junk. */
const JWE_CHARACTERS_MAX = 64 * 1024;

export interface Seal {
  /** @returns a compact JWE (RFC 7516 §7.1, `dir`, A256GCM) of the token's claims set. It opens for this token hash and this history only. */
  sealToken(record: AccessTokenRecord, epoch: string): string;
  /** @returns `undefined` for whatever {@link Seal.sealToken} did not make for this token, history and issuer */
  openToken(jwe: string, tokenHash: TokenHash, epoch: string): AccessTokenRecord | undefined;
  /** @param parts none is a prefix of another message: they are joined so that they can be told apart @returns HMAC-SHA-256, base64url */
  authenticate(purpose: string, parts: readonly string[]): string;
  isAuthentic(purpose: string, parts: readonly string[], mac: string): boolean;
}

/** @param encryptionKeys the first one seals, all open */
export function openSeal(encryptionKeys: readonly Buffer[], issuer: string): Seal {
  const derived = (info: string) =>
    encryptionKeys.map((key) => createSecretKey(Buffer.from(hkdfSync('sha256', key, '', `auth etcd ${info}`, 32))));
  const tokenKeys = derived('tokens');
  const macKeys = derived('authentication');
  const [tokenKey] = tokenKeys;
  const [macKey] = macKeys;
  if (!tokenKey || !macKey) throw new Error('there is no encryption key');
  return {
    sealToken(record, epoch) {
      const header = encode({ alg: 'dir', enc: 'A256GCM', typ: 'JWT', epoch, seq: record.issuedSeq, sid: record.secretId });
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', keyOf(record.tokenHash, tokenKey), nonce).setAAD(Buffer.from(header));
      const text = Buffer.concat([cipher.update(JSON.stringify(accessTokenClaims(record, issuer))), cipher.final()]);
      return [header, '', nonce.toString('base64url'), text.toString('base64url'), cipher.getAuthTag().toString('base64url')].join('.');
    },
    openToken(jwe, tokenHash, epoch) {
      if (jwe.length > JWE_CHARACTERS_MAX) return undefined;
      const [header, key, nonce, text, tag, ...rest] = jwe.split('.', 6).map((part) => Buffer.from(part, 'base64url'));
      if (!header || key?.length !== 0 || nonce?.length !== NONCE_BYTES || !text || tag?.length !== TAG_BYTES || rest.length > 0)
        return undefined;
      for (const master of tokenKeys) {
        const claims = decrypt(keyOf(tokenHash, master), nonce, Buffer.from(jwe.slice(0, jwe.indexOf('.'))), text, tag);
        if (claims === undefined) continue; // another key of the list may be the right one
        const made = JSON.parse(header.toString());
        const all = JSON.parse(claims);
        if (made.epoch !== epoch || all.iss !== issuer) return undefined;
        return { tokenHash, issuedSeq: made.seq, secretId: made.sid, ...recordOfClaims(all) };
      }
      return undefined;
    },
    authenticate: (purpose, parts) => mac(macKey, purpose, parts).toString('base64url'),
    isAuthentic(purpose, parts, given) {
      const presented = Buffer.from(given, 'base64url');
      return macKeys.some((key) => {
        const right = mac(key, purpose, parts);
        return right.length === presented.length && timingSafeEqual(right, presented);
      });
    },
  };
}

/** A key for each token: then its value cannot be moved to another token's place, and no nonce is ever used twice with one key. */
function keyOf(tokenHash: TokenHash, master: KeyObject): KeyObject {
  return createSecretKey(createHmac('sha256', master).update(tokenHash).digest());
}

function decrypt(key: KeyObject, nonce: Buffer, header: Buffer, text: Buffer, tag: Buffer): string | undefined {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(header).setAuthTag(tag);
    return Buffer.concat([decipher.update(text), decipher.final()]).toString();
  } catch {
    return undefined;
  }
}

function mac(key: KeyObject, purpose: string, parts: readonly string[]): Buffer {
  return createHmac('sha256', key)
    .update(JSON.stringify([purpose, ...parts]))
    .digest();
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

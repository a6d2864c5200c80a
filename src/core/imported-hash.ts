/** Hashes of secrets that other servers have made, in the forms that they keep them in (docs/import.md). */

export type ImportedHash =
  | { readonly kind: 'bcrypt'; readonly text: string }
  | {
      readonly kind: 'pbkdf2';
      readonly digest: (typeof PBKDF2_DIGESTS)[number];
      readonly iterations: number;
      readonly salt: Buffer;
      readonly key: Buffer;
    }
  | {
      readonly kind: 'scrypt';
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
      readonly salt: Buffer;
      readonly key: Buffer;
    };

/** bcrypt reads no further: what comes after could be anything, and would be right all the same. */
export const BCRYPT_BYTES_MAX = 72;

/** Not sha224: what Hydra calls by that name is SHA3-224. */
const PBKDF2_DIGESTS = ['sha1', 'sha256', 'sha384', 'sha512'] as const;
const DIGEST_BYTES = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/**
 * Whoever knows a client's id can make this server compute its hash, so what one may cost is bounded: about a second of a core, usually much less, and 64 MiB.
 */
const BCRYPT_COST_MAX = 12;
const PBKDF2_ITERATIONS_MAX = 1_000_000;
const SCRYPT_LOG_COST_MAX = 17;
const SCRYPT_WORK_MAX = 2 ** 20;
const SCRYPT_BYTES_MAX = 64 * 1024 * 1024;

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const PBKDF2 = /^\$pbkdf2-(sha\d+)\$i=(\d{1,7}),l=(\d{1,3})\$([A-Za-z0-9+/]{4,128})\$([A-Za-z0-9+/]{22,128})$/;
const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{4,128})\$([A-Za-z0-9+/]{22,128})$/;

/** @returns `undefined` for what is no such hash, is malformed, or costs too much */
export function parseImportedHash(text: string): ImportedHash | undefined {
  const [, bcryptCost] = BCRYPT.exec(text) ?? [];
  if (bcryptCost !== undefined) {
    return Number(bcryptCost) >= 4 && Number(bcryptCost) <= BCRYPT_COST_MAX ? { kind: 'bcrypt', text } : undefined;
  }
  return parsePbkdf2(text) ?? parseScrypt(text);
}

function parsePbkdf2(text: string): ImportedHash | undefined {
  if (!PBKDF2.test(text)) return undefined;
  const [, name, iterationsText, length, saltText = '', keyText = ''] = PBKDF2.exec(text) ?? [];
  const digest = PBKDF2_DIGESTS.find((known) => known === name);
  const [iterations, salt, key] = [Number(iterationsText), decode(saltText), decode(keyText)];
  if (!digest || !salt || !key || key.length !== Number(length)) return undefined;
  // RFC 8018 §5.2: all of them again for each block of a key that is longer than a digest.
  const blocks = Math.ceil(key.length / DIGEST_BYTES[digest]);
  return iterations >= 1 && iterations * blocks <= PBKDF2_ITERATIONS_MAX ? { kind: 'pbkdf2', digest, iterations, salt, key } : undefined;
}

function parseScrypt(text: string): ImportedHash | undefined {
  if (!SCRYPT.test(text)) return undefined;
  const [, logCost, blockSizeText, parallelizationText, saltText = '', keyText = ''] = SCRYPT.exec(text) ?? [];
  const [cost, blockSize, parallelization] = [2 ** Number(logCost), Number(blockSizeText), Number(parallelizationText)];
  const [salt, key] = [decode(saltText), decode(keyText)];
  if (!salt || !key || Number(logCost) < 1 || Number(logCost) > SCRYPT_LOG_COST_MAX || blockSize < 1 || parallelization < 1)
    return undefined;
  // RFC 7914 §2: N is less than 2^(128 * r / 8). OpenSSL computes no other.
  if (Number(logCost) >= 16 * blockSize) return undefined;
  if (128 * cost * blockSize > SCRYPT_BYTES_MAX || cost * blockSize * parallelization > SCRYPT_WORK_MAX) return undefined;
  return { kind: 'scrypt', cost, blockSize, parallelization, salt, key };
}

/** Base64 without padding, in the one spelling that it has. */
function decode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64').replace(/=+$/, '') === text ? bytes : undefined;
}

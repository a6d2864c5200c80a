/**
 * Secrets that came with a slow hash of another server (docs/decisions/0025). The hash is computed once: then the secret is known here, by a
 * MAC under a key that nobody else has, and to all, if it is long enough for one SHA-256.
 */
import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import { secretVerifier } from './client-auth.ts';
import { type ClientSecret, hasEnded } from './clients.ts';
import type { KnownClient } from './ports.ts';

/** From there on a secret counts as one that nobody can try out (docs/decisions/0005). */
export const SECRET_LENGTH_MIN = 32;
const REMEMBERED_MAX = 20_000;

export interface SlowSecretPorts {
  /** Off the main thread. @throws Unavailable — too many wait for it */
  readonly matches: (clientId: string, secret: string, hash: string) => Promise<boolean>;
  /** Puts another verifier in the place of the one that is there; never waits */
  readonly rehash: (clientId: string, secretId: string, from: string, to: string) => void;
}

/** One for each node. Bounded: what was learnt first is forgotten first, and can be learnt again. */
export class SlowSecrets {
  readonly #key = createSecretKey(randomBytes(32));
  readonly #proofs = new Map<string, Buffer>();
  readonly #ports: SlowSecretPorts;

  constructor(ports: SlowSecretPorts) {
    this.#ports = ports;
  }

  /** @returns the id of the secret that one of these is, as was found before */
  remembered(presented: readonly string[], secrets: readonly ClientSecret[]): string | undefined {
    let proven: string | undefined;
    for (const { id, verifier } of secrets.filter(isSlow)) {
      const proof = this.#proofs.get(keyOf(id, verifier));
      for (const secret of proof ? presented : []) if (proof && timingSafeEqual(proof, this.#proofOf(secret))) proven = id;
    }
    return proven;
  }

  /**
   * Computes what was not computed before; to be followed by another look at the record, which may have changed meanwhile.
   *
   * @param now epoch seconds
   * @returns whether one of these was right
   * @throws Unavailable — too many wait for it
   */
  async learn(presented: readonly string[], known: KnownClient | undefined, now: number): Promise<boolean> {
    if (!known || known.client.disabled) return false;
    for (const { id, verifier } of known.client.secrets.filter((secret) => isSlow(secret) && !hasEnded(secret, now))) {
      for (const secret of presented) {
        if (!(await this.#ports.matches(known.client.id, secret, verifier))) continue;
        this.#remember(keyOf(id, verifier), this.#proofOf(secret));
        // A short one would be easier to find from its SHA-256 than from the hash that it came with.
        if (secret.length >= SECRET_LENGTH_MIN) this.#ports.rehash(known.client.id, id, verifier, secretVerifier(secret));
        return true;
      }
    }
    return false;
  }

  #remember(key: string, proof: Buffer): void {
    this.#proofs.delete(key);
    this.#proofs.set(key, proof);
    const oldest = this.#proofs.keys().next();
    if (this.#proofs.size > REMEMBERED_MAX && !oldest.done) this.#proofs.delete(oldest.value);
  }

  #proofOf(secret: string): Buffer {
    return createHmac('sha256', this.#key).update(secret).digest();
  }
}

function isSlow({ verifier }: ClientSecret): boolean {
  return verifier.startsWith('$');
}

function keyOf(secretId: string, verifier: string): string {
  return `${secretId} ${verifier}`;
}

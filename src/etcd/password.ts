/** etcd's own users: a name and a password are exchanged for a token, which goes with each call and ends (`--auth-token-ttl`, a restart). */
import type { ClientHttp2Session } from 'node:http2';
import { EtcdError, GRPC, toEtcdError } from './errors.ts';
import { unary } from './grpc.ts';
import { METHODS } from './messages.ts';
import { decode, encode } from './wire.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A bcrypt, on a machine that may have much to do. */
const AUTHENTICATE_MS_MAX = 2_000;

export class PasswordToken {
  readonly #credentials: Credentials | undefined;
  #token: string | undefined;
  #renewal: Promise<void> | undefined;

  constructor(credentials: Credentials | undefined) {
    this.#credentials = credentials;
  }

  get hasCredentials(): boolean {
    return this.#credentials !== undefined;
  }

  /** what a call has to carry */
  get metadata(): Readonly<Record<string, string>> {
    return this.#token === undefined ? {} : { token: this.#token };
  }

  /**
   * Asks for a new token; whoever wants the same meanwhile shares it.
   *
   * @param stale the metadata that was refused: nothing is asked if there is a newer token by now
   * @throws EtcdError 16 — the user does not exist, or the password is another
   */
  renew(http2: ClientHttp2Session, stale: Readonly<Record<string, string>> = this.metadata): Promise<void> {
    if (stale.token !== this.#token) return Promise.resolve();
    this.#renewal ??= this.#authenticate(http2).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #authenticate(http2: ClientHttp2Session): Promise<void> {
    if (!this.#credentials) return;
    const { username, password } = this.#credentials;
    const { path, request, response } = METHODS.authenticate;
    try {
      const bytes = await unary(http2, path, {}, encode(request, { name: username, password }), { deadlineMs: AUTHENTICATE_MS_MAX });
      this.#token = decode(response, bytes).token;
    } catch (error) {
      const { code, message } = toEtcdError(error);
      this.#token = undefined;
      // Passwords were given to an etcd that asks for none: as good as no passwords.
      if (code === GRPC.failedPrecondition && message.includes('not enabled')) return;
      if (code !== GRPC.invalidArgument) throw error;
      throw new EtcdError(GRPC.unauthenticated, `etcd refuses user "${username}": ${message}`);
    }
  }
}

/** Whether a new token helps. Both are said before anything is done, so that the call may be repeated. */
export function isStaleToken({ code, message }: EtcdError): boolean {
  return code === GRPC.unauthenticated || message.includes('revision of auth store is old');
}

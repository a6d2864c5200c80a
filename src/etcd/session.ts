/**
 * The one session of HTTP/2 that a process has with etcd: found, greeted, watched over, and replaced by one with the next endpoint when it ends.
 *
 *   connecting → greeted (passwords, version) → connected → lost → back-off → connecting the next endpoint
 *
 * A session counts as connected only after etcd's first SETTINGS frame: a frozen etcd's kernel takes connections as well, and anything may
 * listen on a port. Nothing here keeps the process alive.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { EtcdError, GRPC, isRefusal, toEtcdError } from './errors.ts';
import { openStreamsOf } from './grpc.ts';

export interface SessionOptions {
  /** at least one, with `http:` or `https:` */
  readonly endpoints: readonly URL[];
  /** for endpoints with `https:` */
  readonly tls: ConnectionOptions;
  /** The first calls on a session. Without them it is not used. @throws EtcdError 16 or 7 — refused: the next attempt comes later than after an outage */
  readonly greet: (http2: ClientHttp2Session) => Promise<void>;
  /** An attempt failed, or the session was lost. */
  readonly onDown: (error: EtcdError) => void;
  readonly onUp: (live: Live) => void;
}

/** A session that can be used. */
export interface Live {
  readonly http2: ClientHttp2Session;
  readonly endpoint: string;
}

/** For TCP, TLS and the first frame. */
const CONNECT_MS_MAX = 2_000;
const BACKOFF_MS = { first: 50, max: 1_000 };
/** Each attempt with a password costs etcd a bcrypt, and somebody has to correct the configuration first. */
const REFUSED_BACKOFF_MS = { first: 500, max: 10_000 };
/** A session that lived for so long was a good one: the next back-off starts anew. */
const GOOD_SESSION_MS = 2_000;
/**
 * etcd ends a session that pings more often than every 5 s (`--grpc-keepalive-min-time`), or that goes on pinging while no call is under way:
 * ENHANCE_YOUR_CALM after the third.
 */
const PING_EVERY_MS = 5_500;
const PONG_MS_MAX = 2_000;
/** What is under way when etcd says that it shuts down may still end. */
const GOODBYE_MS = 500;
/** The default of 64 KiB would take a round trip for each 64 KiB of a large answer. */
const WINDOW_BYTES = 8 * 1024 * 1024;

export class EtcdSession {
  readonly #options: SessionOptions;
  #live: Live | undefined;
  #attempt: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #problem = new EtcdError(GRPC.unavailable, 'etcd is not connected yet');
  #failures = 0;
  #connectedAt = Number.POSITIVE_INFINITY;
  #next = 0;
  #pingedAt = 0;
  #isClosed = false;
  #waiting: { resolve(live: Live): void; reject(error: EtcdError): void }[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#connect();
  }

  /** The session, or that of the attempt which is under way. @throws EtcdError 14 — unreachable; 16 — refused: between two attempts at once */
  async get(): Promise<Live> {
    if (!this.#live) await this.#attempt;
    if (!this.#live) throw this.#problem;
    return this.#live;
  }

  /** The session, however long it takes. @throws EtcdError — only when this is closed */
  wait(): Promise<Live> {
    if (this.#live) return Promise.resolve(this.#live);
    if (this.#isClosed) return Promise.reject(this.#problem);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** An answer did not come: a ping now, if there was none in the last seconds, finds a silent etcd earlier. */
  doubt({ http2 }: Live): void {
    if (http2 === this.#live?.http2 && performance.now() - this.#pingedAt >= PING_EVERY_MS) this.#ping(http2);
  }

  /** Ends a session that is of no use, and goes to the next endpoint. */
  drop({ http2 }: Live, reason: EtcdError): void {
    if (http2 === this.#live?.http2) this.#lose(reason);
    http2.destroy();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#problem = new EtcdError(GRPC.unavailable, 'the etcd client is closed');
    this.#live?.http2.destroy();
    this.#live = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#problem);
  }

  #connect(): void {
    this.#attempt = this.#establish().finally(() => {
      this.#attempt = undefined;
    });
  }

  async #establish(): Promise<void> {
    const { endpoints, tls, greet } = this.#options;
    const endpoint = endpoints[this.#next % endpoints.length] as URL;
    let http2: ClientHttp2Session | undefined;
    try {
      http2 = await open(endpoint, tls);
      if (!this.#isClosed) await greet(http2);
      if (this.#isClosed) throw this.#problem;
      if (http2.destroyed || http2.closed) throw new EtcdError(GRPC.unavailable, 'etcd ended the session');
      this.#use({ http2, endpoint: endpoint.origin });
    } catch (error) {
      http2?.destroy();
      const { code, message } = toEtcdError(error);
      this.#retryAfter(new EtcdError(code === GRPC.deadlineExceeded ? GRPC.unavailable : code, `${endpoint.origin}: ${message}`, error));
    }
  }

  #use(live: Live): void {
    const { http2 } = live;
    this.#live = live;
    this.#connectedAt = performance.now();
    this.#pingedAt = this.#connectedAt;
    const pings = setInterval(() => openStreamsOf(http2) > 0 && this.#ping(http2), PING_EVERY_MS).unref();
    let reason = 'closed';
    const lost = () => {
      if (this.#live === live) this.#lose(new EtcdError(GRPC.unavailable, `${live.endpoint}: the session was lost: ${reason}`));
    };
    http2.on('error', (error) => {
      reason = error.message;
    });
    http2.on('close', () => {
      clearInterval(pings);
      lost();
    });
    http2.on('goaway', (code) => {
      reason = `etcd said goodbye, ${code}`;
      lost();
      setTimeout(() => http2.destroy(), GOODBYE_MS).unref();
    });
    for (const { resolve } of this.#waiting.splice(0)) resolve(live);
    this.#options.onUp(live);
  }

  #lose(error: EtcdError): void {
    this.#live = undefined;
    if (performance.now() - this.#connectedAt >= GOOD_SESSION_MS) this.#failures = 0;
    this.#retryAfter(error);
  }

  #retryAfter(error: EtcdError): void {
    if (this.#isClosed) return;
    if (isRefusal(error) !== isRefusal(this.#problem)) this.#failures = 0;
    this.#problem = error;
    const { first, max } = isRefusal(error) ? REFUSED_BACKOFF_MS : BACKOFF_MS;
    const delayMs = Math.min(first * 2 ** Math.min(this.#failures, 16), max);
    this.#failures++;
    this.#next++;
    // Half of it by chance, so that the processes of a cluster do not come back at once.
    this.#retry = setTimeout(() => this.#connect(), delayMs * (0.5 + Math.random() / 2)).unref();
    this.#options.onDown(error);
  }

  #ping(http2: ClientHttp2Session): void {
    this.#pingedAt = performance.now();
    const silent = setTimeout(() => http2.destroy(new Error('a ping was not answered')), PONG_MS_MAX).unref();
    try {
      http2.ping(() => clearTimeout(silent));
    } catch {
      // The session has ended meanwhile, and its 'close' is on its way.
      clearTimeout(silent);
    }
  }
}

/** @returns a session on which etcd has said its first word @throws EtcdError 14 */
function open(endpoint: URL, tls: ConnectionOptions): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const socket = openSocket(endpoint, tls);
    // A certificate of ours that etcd refuses: with TLS 1.3 that is said after the handshake. Node 20 ends the session then, but not the socket,
    // and says so to nobody before the socket ends.
    socket.on('error', () => socket.destroy());
    const settings = { enablePush: false, initialWindowSize: WINDOW_BYTES };
    const http2 = connect(endpoint, { createConnection: () => socket, settings });
    http2.unref();
    const late = setTimeout(() => http2.destroy(new Error(`no answer within ${CONNECT_MS_MAX} ms`)), CONNECT_MS_MAX).unref();
    let reason: unknown = new Error('the connection was closed');
    // These stay for the life of the session: an error without a listener would end the process.
    http2.on('error', (error) => {
      reason = error;
    });
    http2.once('close', () => {
      clearTimeout(late);
      reject(new EtcdError(GRPC.unavailable, reasonOf(reason), reason));
    });
    http2.once('connect', () => http2.destroyed || http2.setLocalWindowSize(WINDOW_BYTES));
    http2.once('remoteSettings', () => {
      clearTimeout(late);
      resolve(http2);
    });
  });
}

function openSocket({ protocol, hostname, port }: URL, tls: ConnectionOptions): Socket {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const place = { host, port: Number(port) || (protocol === 'https:' ? 443 : 80), noDelay: true };
  if (protocol === 'http:') return connectTcp(place);
  // Names are sent in the handshake, addresses are not: RFC 6066 §3.
  return connectTls({ ...place, ...(isIP(host) === 0 && { servername: host }), ...tls, ALPNProtocols: ['h2'] });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  const detail = 'reason' in error ? String(error.reason) : error.message.trim();
  if (/ALERT/.test(code)) return `TLS: etcd refuses the connection, most often for want of a certificate that it trusts (${detail})`;
  if (/CERT|SIGNATURE|ISSUER|CRL/.test(code)) return `TLS: the certificates do not fit (${error.message})`;
  if (/SSL|TLS|EPROTO/.test(code)) return `TLS: ${detail}`;
  if (code === 'ERR_HTTP2_ERROR' || code === 'ERR_HTTP2_SESSION_ERROR')
    return `this is not etcd: it does not speak HTTP/2 (${error.message})`;
  return error.message || code;
}

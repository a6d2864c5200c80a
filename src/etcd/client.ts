/**
 * A thin client of etcd (docs/decisions/0010): calls with deadlines, watches that lose nothing silently, one session per process.
 *
 * Nothing is repeated by itself, except a call that was refused because its token had ended. What etcd holds is never needed for a right answer,
 * so a call that cannot be made now fails now.
 */
import type { ClientHttp2Session } from 'node:http2';
import { EtcdError, GRPC, isRefusal, toEtcdError } from './errors.ts';
import { unary } from './grpc.ts';
import { type KeyRange, toRange } from './keys.ts';
import { METHODS, type Method } from './messages.ts';
import { type EndpointOptions, readEndpoints } from './options.ts';
import { isStaleToken, PasswordToken } from './password.ts';
import { EtcdSession, type Live } from './session.ts';
import { openWatch, type Watch, type WatchHandlers, type WatchRequest } from './watch.ts';
import { decode, encode, type Input, type MessageOf } from './wire.ts';

export interface EtcdOptions extends EndpointOptions {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** of a call that names none */
  readonly deadlineMs?: number | undefined;
  /** Each change of the status. While etcd is away the reasons may differ with every attempt, which is no news. */
  readonly onState?: ((state: EtcdState) => void) | undefined;
  /** What a handler threw: a bug, to be logged. It ends nothing. */
  readonly onHandlerError?: ((error: unknown) => void) | undefined;
}

export type EtcdState =
  /** nothing is known yet */
  | { readonly status: 'connecting' }
  /** `version` is undefined where a user may not ask for it */
  | {
      readonly status: 'connected';
      readonly endpoint: string;
      readonly version: string | undefined;
      readonly clusterId: bigint | undefined;
    }
  | { readonly status: 'unreachable'; readonly reason: string }
  /** etcd does not take the user, or does not let it watch what is to be watched. Attempts go on, at most 10 s apart. */
  | { readonly status: 'refused'; readonly reason: string }
  | { readonly status: 'closed' };

export interface CallOptions {
  readonly deadlineMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Greeting = Pick<Extract<EtcdState, { status: 'connected' }>, 'version' | 'clusterId'>;
type Methods = typeof METHODS;
type Request<M extends keyof Methods> = Input<Methods[M]['request']>;
type Answer<M extends keyof Methods> = Promise<MessageOf<Methods[M]['response']>>;
type Ranged<M extends keyof Methods> = KeyRange & Omit<Request<M>, 'key' | 'rangeEnd'>;

/** Each call rejects with an {@link EtcdError}: 4 after its deadline, 14 without a session, or with what etcd said. */
export interface Etcd {
  range(request: Ranged<'range'>, options?: CallOptions): Answer<'range'>;
  put(request: Request<'put'>, options?: CallOptions): Answer<'put'>;
  deleteRange(request: Ranged<'deleteRange'>, options?: CallOptions): Answer<'deleteRange'>;
  /** at most 128 operations */
  txn(request: Request<'txn'>, options?: CallOptions): Answer<'txn'>;
  leaseGrant(request: Request<'leaseGrant'>, options?: CallOptions): Answer<'leaseGrant'>;
  leaseRevoke(request: Request<'leaseRevoke'>, options?: CallOptions): Answer<'leaseRevoke'>;
  /** of the member that the session is with */
  status(options?: CallOptions): Answer<'status'>;
  watch(request: WatchRequest, handlers: WatchHandlers): Watch;
  state(): EtcdState;
  /** Ends watches and calls. Idempotent. */
  close(): void;
}

const DEADLINE_MS = 1_000;
/** The first calls on a session may take longer than a usual one. */
const GREETING_MS_MAX = 2_000;

/** Starts to connect, and returns at once. @throws Error — options that cannot be used */
export function openEtcd(options: EtcdOptions): Etcd {
  const { endpoints, tls } = readEndpoints(options);
  const { username, password, deadlineMs: usualMs = DEADLINE_MS } = options;
  if ((username === undefined) !== (password === undefined))
    throw new Error('etcd: a user name needs a password, and a password a user name');
  const token = new PasswordToken(username === undefined || password === undefined ? undefined : { username, password });
  const watches = new Set<Watch>();
  /** watches that etcd does not allow, and what it said */
  const denials = new Map<symbol, string>();
  let sessionState: EtcdState = { status: 'connecting' };
  let published: EtcdState = sessionState;
  let known: { readonly version: string | undefined; readonly clusterId: bigint | undefined } = {
    version: undefined,
    clusterId: undefined,
  };

  const onHandlerError = (error: unknown) => {
    try {
      options.onHandlerError?.(error);
    } catch {
      // There is nobody left to tell.
    }
  };
  const publish = () => {
    const [denial] = denials.values();
    const state: EtcdState =
      denial !== undefined && sessionState.status === 'connected' ? { status: 'refused', reason: denial } : sessionState;
    const isNews = state.status !== published.status;
    published = state;
    if (!isNews) return;
    try {
      options.onState?.(state);
    } catch (error) {
      onHandlerError(error);
    }
  };
  const become = (state: EtcdState) => {
    sessionState = state;
    publish();
  };

  const session = new EtcdSession({
    endpoints,
    tls,
    greet: async (http2) => {
      known = await greet(http2, token);
    },
    onUp: ({ endpoint }) => become({ status: 'connected', endpoint, ...known }),
    onDown: (error) => become({ status: isRefusal(error) ? 'refused' : 'unreachable', reason: error.message }),
  });

  async function callOn<M extends Method>(live: Live, method: M, request: Buffer, call: Deadline) {
    const once = async () => {
      const bytes = await unary(live.http2, method.path, token.metadata, request, { deadlineMs: leftOf(call), signal: call.signal });
      return decode(method.response as M['response'], bytes);
    };
    const used = token.metadata;
    try {
      return await once();
    } catch (error) {
      const problem = toEtcdError(error, GRPC.internal);
      if (problem.code === GRPC.deadlineExceeded) session.doubt(live);
      if (asksForUser(problem)) {
        session.drop(live, USER_WANTED);
        throw USER_WANTED;
      }
      if (!token.hasCredentials || !isStaleToken(problem)) throw problem;
      await beforeDeadline(renew(live, used), call);
      return once();
    }
  }

  async function renew(live: Live, used: Readonly<Record<string, string>>): Promise<void> {
    try {
      await token.renew(live.http2, used);
    } catch (error) {
      const problem = toEtcdError(error);
      if (isRefusal(problem)) session.drop(live, problem);
      throw problem;
    }
  }

  async function call<M extends Method>(method: M, request: Input<M['request']>, { deadlineMs = usualMs, signal }: CallOptions = {}) {
    const deadline = { at: performance.now() + deadlineMs, signal };
    const bytes = encoded(method, request);
    const live = await beforeDeadline(session.get(), deadline);
    return callOn(live, method, bytes, deadline) as Promise<MessageOf<M['response']>>;
  }

  return {
    range: (request, call_) => call(METHODS.range, toRange(request), call_),
    put: (request, call_) => call(METHODS.put, request, call_),
    deleteRange: (request, call_) => call(METHODS.deleteRange, toRange(request), call_),
    txn: (request, call_) => call(METHODS.txn, request, call_),
    leaseGrant: (request, call_) => call(METHODS.leaseGrant, request, call_),
    leaseRevoke: (request, call_) => call(METHODS.leaseRevoke, request, call_),
    status: (call_) => call(METHODS.status, {}, call_),
    watch(request, handlers) {
      const id = Symbol();
      const watch = openWatch(request, handlers, {
        session,
        metadata: () => token.metadata,
        canMove: endpoints.length > 1,
        range: (live, range, deadlineMs) =>
          callOn(live, METHODS.range, encode(METHODS.range.request, range), { at: performance.now() + deadlineMs }) as Answer<'range'>,
        onDenied(reason) {
          if (reason === undefined) denials.delete(id);
          else denials.set(id, reason);
          publish();
        },
        onHandlerError,
      });
      watches.add(watch);
      return {
        close() {
          watches.delete(watch);
          watch.close();
        },
      };
    },
    state: () => published,
    close() {
      for (const watch of watches) watch.close();
      session.close();
      become({ status: 'closed' });
    },
  };
}

/** @returns what is known about the server @throws EtcdError 16 — it does not take us */
async function greet(http2: ClientHttp2Session, token: PasswordToken): Promise<Greeting> {
  if (token.hasCredentials) await token.renew(http2);
  const status = await greeting(http2, METHODS.status, token, {});
  // Until etcd 3.6 anybody may ask for the status, so that is no proof. Linearizable: a member without a quorum is of no use, and to come and go with
  // each attempt would be told as often.
  if (!token.hasCredentials) await greeting(http2, METHODS.range, token, { key: '\0', limit: 1, keysOnly: true });
  return { version: status?.version, clusterId: status?.header.clusterId };
}

/** @returns `undefined` — etcd knows who asks, and does not allow this to them; which says nothing about what they will ask for */
async function greeting<M extends Method>(
  http2: ClientHttp2Session,
  { path, request, response }: M,
  token: PasswordToken,
  value: Input<M['request']>,
) {
  try {
    const bytes = await unary(http2, path, token.metadata, encode(request, value as object), { deadlineMs: GREETING_MS_MAX });
    return decode(response as M['response'], bytes);
  } catch (error) {
    const problem = toEtcdError(error, GRPC.internal);
    if (asksForUser(problem)) throw USER_WANTED;
    if (problem.code !== GRPC.permissionDenied) throw problem;
    return undefined;
  }
}

const USER_WANTED = new EtcdError(GRPC.unauthenticated, 'etcd asks for a user name and a password');
const asksForUser = ({ code, message }: EtcdError) => code === GRPC.invalidArgument && message.includes('user name is empty');

function encoded<M extends Method>({ request: table }: M, request: Input<M['request']>): Buffer {
  try {
    return encode(table, request as object);
  } catch (error) {
    throw toEtcdError(error, GRPC.invalidArgument);
  }
}

interface Deadline {
  /** by `performance.now()` */
  readonly at: number;
  readonly signal?: AbortSignal | undefined;
}

const leftOf = ({ at }: Deadline) => Math.max(1, at - performance.now());

/** @throws EtcdError 4 — not within the deadline; 1 — the signal */
async function beforeDeadline<T>(work: Promise<T>, deadline: Deadline): Promise<T> {
  const { signal } = deadline;
  let giveUp: (error: EtcdError) => void = () => undefined;
  const given = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  const late = () => giveUp(new EtcdError(GRPC.deadlineExceeded, 'no session with etcd within the deadline'));
  const cancel = () => giveUp(new EtcdError(GRPC.cancelled, 'the call was cancelled'));
  const timer = setTimeout(late, leftOf(deadline));
  signal?.addEventListener('abort', cancel);
  if (signal?.aborted) cancel();
  try {
    return await Promise.race([work, given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}

/** Management calls, each with a token of its own that holds only what the call needs and is revoked afterwards. */
import { type Answer, type ApiRequest, basicAuthorization, requireSuccess, send } from './api.ts';
import { CommandError, EXIT } from './exit.ts';
import type { Target } from './target.ts';

/** Giving a token back must not keep anybody waiting. */
const REVOKE_MS = 2_000;

export type ManagementRequest = Omit<ApiRequest, 'authorization' | 'form'>;

type Reading<T> = (get: (path: string) => Promise<Answer>) => Promise<T>;

/** @throws CommandError */
export async function readClients<T>(target: Target, work: Reading<T>): Promise<T> {
  // `auth:clients` opens the same doors, and not everybody who has it has the other one too.
  return read(target, ['auth:clients:read', 'auth:clients'], work);
}

/** @throws CommandError */
export async function readAudit<T>(target: Target, work: Reading<T>): Promise<T> {
  return read(target, ['auth:audit'], work);
}

async function read<T>(target: Target, scopes: readonly [string, ...string[]], work: Reading<T>): Promise<T> {
  return withToken(target, scopes, (token) =>
    work(async (path) => requireSuccess(target, await call(target, token, { method: 'GET', path }))),
  );
}

/**
 * A change. A client that holds `auth:` scopes is changed only by a token that holds them too (docs/client.md), so those are asked
 * for: the ones that the request gives, and after a refusal the ones that the client has.
 *
 * @param change.path of the client that is changed, if it exists already
 * @param change.scope the `scope` that the request gives it
 * @throws CommandError
 */
export async function changeClients(
  target: Target,
  request: ManagementRequest,
  change: { readonly path?: string; readonly scope?: unknown },
): Promise<Answer> {
  const { path } = change;
  const scope = [...new Set(['auth:clients', ...ownScopes(change.scope)])];
  const first = await withToken(target, [scope.join(' ')], async (token) => {
    const answer = await call(target, token, request);
    if (path === undefined || answer.status !== 403) return { answer, missing: [] };
    const current = await call(target, token, { method: 'GET', path });
    return { answer, missing: ownScopes(current.document.scope).filter((own) => !scope.includes(own)) };
  });
  if (first.missing.length === 0) return requireSuccess(target, first.answer);
  return withToken(target, [[...scope, ...first.missing].join(' ')], async (token) =>
    requireSuccess(target, await call(target, token, request)),
  );
}

/** One call that needs one of these scopes. @throws CommandError */
export async function callManagement(target: Target, scopes: readonly [string, ...string[]], request: ManagementRequest): Promise<Answer> {
  return withToken(target, scopes, async (token) => requireSuccess(target, await call(target, token, request)));
}

/** @param scopes what to ask for; the next if the client may not have the one before. @throws CommandError */
export async function withToken<T>(
  target: Target,
  scopes: readonly [string, ...string[]],
  work: (token: string) => Promise<T>,
): Promise<T> {
  const token = await issueToken(target, scopes);
  try {
    return await work(token);
  } finally {
    const patience = { ...target, timeoutMs: Math.min(target.timeoutMs, REVOKE_MS) };
    const revocation = { method: 'POST', path: '/revoke', authorization: basicAuthorization(target), form: { token } } as const;
    // What is not revoked expires; and there may be nobody left to revoke it, if a client has deleted itself.
    await send(patience, revocation).catch(() => undefined);
  }
}

export function call(target: Target, token: string, request: ManagementRequest): Promise<Answer> {
  return send(target, { ...request, authorization: `Bearer ${token}` });
}

async function issueToken(target: Target, [scope, ...others]: readonly [string, ...string[]]): Promise<string> {
  const form = { grant_type: 'client_credentials', scope };
  const answer = await send(target, { method: 'POST', path: '/token', authorization: basicAuthorization(target), form });
  const { access_token: token, error } = answer.document;
  const [next, ...rest] = others;
  if (error === 'invalid_scope' && next !== undefined) return issueToken(target, [next, ...rest]);
  if (error === 'invalid_scope' || error === 'unauthorized_client') {
    throw new CommandError(EXIT.notAuthorized, `client "${target.clientId}" may not have a token with the scope that this needs: ${scope}`);
  }
  requireSuccess(target, answer);
  if (typeof token !== 'string') throw new CommandError(EXIT.configuration, `${target.url} does not answer as a token endpoint would`);
  return token;
}

/** Those that only who holds them may give to a client. */
export function ownScopes(scope: unknown): readonly string[] {
  return typeof scope === 'string' ? scope.split(' ').filter((token) => token.startsWith('auth:')) : [];
}

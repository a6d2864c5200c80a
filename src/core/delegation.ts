/**
 * Administration of a part of the clients, and the last administrator of all of them (docs/scopes.md). Each limit narrows: whoever has two is held by
 * both. A limited administrator cannot come by more than he has, neither himself nor through a client that he makes or whose secret he can get.
 */
import { type Client, type ClientSecret, type ClientSettings, hasSecrets } from './clients.ts';
import { Problem } from './errors.ts';

/** What a client with `auth:clients` may administer, in its metadata; at least one of the two. */
export interface Administers {
  /** only clients whose id begins so */
  readonly prefix?: string | undefined;
  /** only clients that it made itself */
  readonly created?: true | undefined;
}

/** Which clients somebody may see and change. `undefined` in its place: all. */
export interface Part {
  readonly prefix: string | undefined;
  readonly createdBy: string | undefined;
}

type Limits = Administers | undefined;

/** Scopes that reach clients, and that limits hold for. The others are of the whole server, and are given whole or not at all. */
const LIMITED_SCOPES: readonly string[] = ['auth:clients', 'auth:clients:read', 'auth:revocations'];

export function partOf(limits: Limits, clientId: string): Part | undefined {
  return limits && { prefix: limits.prefix, createdBy: limits.created && clientId };
}

export function isInPart({ id, createdBy }: Pick<Client, 'id' | 'createdBy'>, part: Part | undefined): boolean {
  if (!part) return true;
  return id.startsWith(part.prefix ?? '') && (part.createdBy === undefined || createdBy === part.createdBy);
}

/** @returns whether nothing is within `inner` that is not within `outer`, for whoever makes the one out of the other */
export function isNoWider(inner: Limits, outer: Limits): boolean {
  if (!outer) return true;
  if (!inner) return false;
  return (inner.prefix ?? '').startsWith(outer.prefix ?? '') && (!outer.created || inner.created === true);
}

/**
 * A client that can reach clients has no wider limits than who makes or changes it; else to make one, or to add a secret to one that is there, would be
 * a way out of them.
 *
 * @throws Problem `insufficient_scope`
 */
export function requireNoWider(limits: Limits, ...clients: readonly Pick<ClientSettings, 'scope' | 'administers'>[]): void {
  const isWider = ({ scope, administers }: Pick<ClientSettings, 'scope' | 'administers'>) =>
    scope.some((token) => LIMITED_SCOPES.includes(token)) && !isNoWider(administers, limits);
  if (clients.some(isWider))
    throw new Problem(
      'insufficient_scope',
      'your administration is limited, and this client would not be limited as much by its administers',
    );
}

/**
 * Who had limits keeps some: tokens that are out keep the scopes that it had, and are held back by what its record says now.
 *
 * @throws Problem `insufficient_scope`
 */
export function requireChange(limits: Limits, before: ClientSettings, after: ClientSettings): void {
  requireNoWider(limits, before, after, ...(before.administers ? [{ scope: LIMITED_SCOPES, administers: after.administers }] : []));
}

/** Whether tokens that are out could do more by the change than when they were issued. */
export function isWidened(before: Limits, after: Limits): boolean {
  return !isNoWider(after, before);
}

/** @throws Problem `insufficient_scope` */
export function requireCreation(limits: Limits, id: string, settings: ClientSettings): void {
  if (!id.startsWith(limits?.prefix ?? ''))
    throw new Problem('insufficient_scope', 'your administration is limited: give a client_id that begins with its prefix', [
      { pointer: '/client_id', detail: 'must begin with the prefix of your administration' },
    ]);
  requireNoWider(limits, settings);
}

/** What is of all clients is refused to who administers a part. @throws Problem `insufficient_scope` */
export function requireUnlimited(limits: Limits): void {
  if (limits) throw new Problem('insufficient_scope', 'your administration is limited to a part of the clients, and this is not of a part');
}

/** How a client can sign in: not at all, until its secrets end, or without an end. */
export const STANDINGS = ['none', 'for_now', 'lasting'] as const;
export type Standing = (typeof STANDINGS)[number];

/**
 * Whether a client is an administrator of everything, who can make all others: enabled, without limits, with `auth:clients`, and able to get a token.
 * The statement of src/postgres/last-administrator.ts says the same.
 *
 * @param now epoch seconds
 */
export function administratorStanding(
  client: ClientSettings & { readonly secrets: readonly Pick<ClientSecret, 'expiresAt'>[] },
  now: number,
): Standing {
  const { disabled, administers, scope, grantTypes, authMethod, secrets } = client;
  if (disabled || administers || !scope.includes('auth:clients') || !grantTypes.includes('client_credentials')) return 'none';
  if (!hasSecrets(authMethod)) return authMethod === 'none' ? 'none' : 'lasting';
  if (secrets.some(({ expiresAt }) => expiresAt === undefined)) return 'lasting';
  return secrets.some(({ expiresAt }) => expiresAt && expiresAt.getTime() > now * 1000) ? 'for_now' : 'none';
}

/**
 * @param before of the client that was changed
 * @param left the best of all clients after the change
 * @throws Problem `conflict`
 */
export function requireAdministrator(before: Standing, left: Standing): void {
  if (STANDINGS.indexOf(left) < STANDINGS.indexOf(before)) {
    throw new Problem(
      'conflict',
      left === 'none'
        ? 'this is the last administrator: nobody could manage clients any more. Make another client with auth:clients first'
        : 'this is the last administrator whose secret does not end: make another secret, or another client with auth:clients, first',
    );
  }
}

/** Clients that come from elsewhere, many at a time: what a line may say, and what becomes of it (docs/import.md). */
import { clientChanges } from './audit.ts';
import { secretVerifier } from './client-auth.ts';
import { parseClientMetadata } from './client-metadata.ts';
import { type Client, type ClientSettings, hasEnded, hasSecrets, newClientId, SECRETS_MAX } from './clients.ts';
import { isInPart, type Part } from './delegation.ts';
import { type FieldProblem, Problem } from './errors.ts';
import { parseImportedHash } from './imported-hash.ts';
import type { Actor, NewSecret } from './ports.ts';
import { SECRET_LENGTH_MIN } from './slow-secrets.ts';

export interface ImportedClient {
  readonly id: string;
  readonly settings: ClientSettings;
  readonly secrets: readonly NewSecret[];
}

/** What the ids of an import are already. */
export type Existing = ReadonlyMap<string, Client | 'deleted'>;

export interface ClientImporter {
  /** @returns those of the ids that were ever given */
  existing(ids: readonly string[]): Promise<Existing>;
  /** What is wrong with those of the scopes that no client can get. */
  unknownScopes(scope: readonly string[]): Promise<ReadonlyMap<string, FieldProblem>>;
  /**
   * All of them in one transaction with their change-log and audit rows, or none.
   *
   * @returns `raced` when one of the ids was given meanwhile
   */
  insert(clients: readonly ImportedClient[], actor: Actor): Promise<'done' | 'raced'>;
}

/** So many of a client's secrets may have a slow hash: a wrong secret costs as many. */
const SLOW_MAX = 2;
const OWN_VERIFIER = /^sha256:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
/** Members of a secret as it is read; an import sets them anew. */
const READ_ONLY = ['id', 'created_at', 'last_used_at'];

/**
 * A client document as it is read or created, and its secrets: `client_secret`, or in `secrets` those that have a `hash`.
 *
 * @param parseTime RFC 3339; `undefined` for what is none
 * @param now epoch seconds; secrets that have ended are left out
 * @throws Problem `invalid_client_metadata` — one entry per field that is wrong
 */
export function parseImportedClient(
  document: Readonly<Record<string, unknown>>,
  parseTime: (text: unknown) => Date | undefined,
  now: number,
): ImportedClient {
  const problems: FieldProblem[] = [];
  const { client_secret: secret, ...metadata } = document;
  const settings = collect(problems, () => parseClientMetadata(metadata));
  // A line without an id would be another client each time that it is sent.
  const id = collect(problems, () => newClientId(metadata.client_id ?? ''));
  const secrets = [
    ...(secret === undefined ? [] : parsePlain(secret, document.client_secret_expires_at, problems)),
    ...parseHashes(document.secrets, parseTime, problems),
  ].filter((given) => !hasEnded({ expiresAt: given.expiresAt }, now));
  if (secrets.length > SECRETS_MAX) problems.push({ pointer: '/secrets', detail: `may be ${SECRETS_MAX} at most` });
  if (secrets.filter(isSlow).length > SLOW_MAX)
    problems.push({ pointer: '/secrets', detail: `may have ${SLOW_MAX} hashes of other servers at most` });
  if (settings && !hasSecrets(settings.authMethod) && secrets.length > 0)
    problems.push({ pointer: '/token_endpoint_auth_method', detail: 'must be one with secrets for a client that has some' });
  if (problems.length > 0 || !settings || id === undefined)
    throw new Problem('invalid_client_metadata', 'the client metadata is not valid', problems);
  return { id, settings, secrets };
}

/**
 * What a line is, seen beside what is there: the same line once more is no error, so that an import can be repeated until it has come through.
 *
 * @param part of who imports: of another client he does not learn whether it is as he thinks
 */
export function standingOf(
  { id, settings, secrets }: ImportedClient,
  existing: Existing,
  part: Part | undefined,
): 'new' | 'unchanged' | 'exists' {
  const client = existing.get(id);
  if (client === undefined) return 'new';
  if (client === 'deleted' || !isInPart(client, part)) return 'exists';
  if (Object.keys(clientChanges(client, settings).changes as object).length > 0) return 'exists';
  return secrets.every((secret) => client.secrets.some((kept) => isSame(secret, kept))) ? 'unchanged' : 'exists';
}

/** A slow hash may have got another form when its secret was first used. */
function isSame(given: NewSecret, kept: NewSecret): boolean {
  const isKept = given.verifier === kept.verifier || (isSlow(given) && !isSlow(kept));
  return isKept && given.name === kept.name && given.expiresAt?.getTime() === kept.expiresAt?.getTime();
}

function isSlow({ verifier }: NewSecret): boolean {
  return verifier.startsWith('$');
}

/** @param expires RFC 7591 §3.2.1: seconds, 0 for never */
function parsePlain(secret: unknown, expires: unknown, problems: FieldProblem[]): readonly NewSecret[] {
  if (typeof secret !== 'string' || secret.length < SECRET_LENGTH_MIN || secret.length > 1_000) {
    const detail = `must have ${SECRET_LENGTH_MIN} characters or more; a shorter one is imported as its hash`;
    problems.push({ pointer: '/client_secret', detail });
    return [];
  }
  const isTime = expires === undefined || (Number.isInteger(expires) && Number(expires) >= 0 && Number(expires) < 2 ** 37);
  if (!isTime) problems.push({ pointer: '/client_secret_expires_at', detail: 'must be seconds since 1970, or 0' });
  const expiresAt = isTime && Number(expires ?? 0) > 0 ? new Date(Number(expires) * 1000) : undefined;
  return [{ name: undefined, verifier: secretVerifier(secret), expiresAt }];
}

function parseHashes(given: unknown, parseTime: (text: unknown) => Date | undefined, problems: FieldProblem[]): readonly NewSecret[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length > 100) {
    problems.push({ pointer: '/secrets', detail: 'must be a list, of 100 at most' });
    return [];
  }
  return given.flatMap((secret: unknown, index): readonly NewSecret[] => {
    const refuse = (member: string, detail: string) => {
      problems.push({ pointer: `/secrets/${index}${member}`, detail });
      return [];
    };
    if (typeof secret !== 'object' || secret === null) return refuse('', 'must be an object');
    // As a client is shown: nothing that could be imported.
    if (!('hash' in secret)) return [];
    const { hash, name, expires_at: expires, ...others } = secret as Readonly<Record<string, unknown>>;
    const [unknown] = Object.keys(others).filter((member) => !READ_ONLY.includes(member));
    if (unknown !== undefined) return refuse(`/${unknown.replaceAll('~', '~0').replaceAll('/', '~1')}`, 'is not a known member');
    if (name !== undefined && !(typeof name === 'string' && /^\P{Cc}{1,200}$/u.test(name)))
      return refuse('/name', 'must be 1 to 200 characters of text');
    const expiresAt = parseTime(expires);
    if (expires !== undefined && !expiresAt) return refuse('/expires_at', 'must be a time, RFC 3339');
    if (typeof hash !== 'string' || !(OWN_VERIFIER.test(hash) || parseImportedHash(hash)))
      return refuse('/hash', 'must be a hash of a form and a cost that docs/import.md lists');
    return [{ name, verifier: hash, expiresAt }];
  });
}

function collect<T>(problems: FieldProblem[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problems.push(...error.fields);
    return undefined;
  }
}

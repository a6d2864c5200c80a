/** Dynamic registration, RFC 7591 and RFC 7592: what a client may say of itself (docs/registration.md). */
import { holdsSecret } from './client-auth.ts';
import { ownMetadata, parseClientMetadata } from './client-metadata.ts';
import type { AuthMethod, Client, ClientSettings, RegistrationAccess } from './clients.ts';
import { type FieldProblem, Problem } from './errors.ts';
import { ownScopes } from './scope.ts';

/** `token`: by an initial access token. `open`: without one, too. */
export const REGISTRATION_MODES = ['off', 'token', 'open'] as const;
export type RegistrationMode = (typeof REGISTRATION_MODES)[number];

/** How far a client may go that registers itself, and ever after. */
export type RegistrationPolicy = Omit<RegistrationAccess, 'verifier'>;

/** Without an initial access token. */
export const OPEN_POLICY: RegistrationPolicy = { initialTokenId: undefined, allowedScope: undefined };

/** Lists of their own: what this server learns to do later is not at once for whoever registers himself. */
const SELF_GRANT_TYPES: readonly string[] = ['client_credentials'];
/** Not `none`: nobody could tell such a client from another that knows its id, and it gets no token by client credentials (RFC 6749 §4.4). */
const SELF_AUTH_METHODS: readonly AuthMethod[] = ['client_secret_basic', 'client_secret_post'];

/**
 * How far a registered client may go now. One that needed no initial token keeps what it has where that is not enough any more: who ends the `open`
 * registration because anybody gives himself any scope means those that are there, too.
 */
function policyNow({ registrationAccess, scope }: Client, mode: RegistrationMode): RegistrationPolicy {
  const { initialTokenId, allowedScope } = registrationAccess ?? OPEN_POLICY;
  return { initialTokenId, allowedScope: allowedScope ?? (mode === 'open' || initialTokenId !== undefined ? undefined : scope) };
}

/** An initial access token as it is kept. */
export interface InitialToken {
  readonly id: string;
  readonly name: string | undefined;
  /** `undefined`: any but `auth:*` */
  readonly scope: readonly string[] | undefined;
  /** `undefined`: any number */
  readonly uses: number | undefined;
  readonly used: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** RFC 7592 §2.2: "must not be included". */
const SET_BY_THE_SERVER = ['registration_access_token', 'registration_client_uri', 'client_secret_expires_at', 'client_id_issued_at'];

/**
 * RFC 7591 §2: the settings of a client that registers itself.
 *
 * @throws Problem `invalid_client_metadata`, `invalid_redirect_uri`, `unapproved_software_statement`
 */
export function registeredSettings(document: Readonly<Record<string, unknown>>, policy: RegistrationPolicy): ClientSettings {
  const settings = readOwn(document);
  requirePolicy(settings, policy);
  return settings;
}

/**
 * RFC 7592 §2.2: what replaces the settings. What an administrator decides stays as it is, and what he has given may be kept.
 *
 * @param asOf `now`: epoch seconds
 * @throws Problem as {@link registeredSettings}
 */
export function replacedSettings(
  document: Readonly<Record<string, unknown>>,
  current: Client,
  asOf: { readonly now: number; readonly mode: RegistrationMode },
): ClientSettings {
  const { client_id: clientId, client_secret: secret } = document;
  const fields = SET_BY_THE_SERVER.filter((name) => Object.hasOwn(document, name)).map((name) => field(name, 'must not be sent'));
  if (clientId !== current.id) fields.push(field('client_id', 'must be that of the client'));
  if (secret !== undefined && secret !== null && !(typeof secret === 'string' && holdsSecret(current, secret, asOf.now)))
    fields.push(field('client_secret', 'is not the one of the client, which cannot choose it'));
  refuse(fields);
  const { authMethod, grantTypes, scope, registration } = readOwn(document);
  const settings: ClientSettings = { ...current, authMethod, grantTypes, scope, registration };
  requirePolicy(settings, policyNow(current, asOf.mode), current);
  return settings;
}

function readOwn(document: Readonly<Record<string, unknown>>): ClientSettings {
  if ((document.software_statement ?? undefined) !== undefined)
    throw new Problem(
      'unapproved_software_statement',
      'software statements are not accepted here: there is nobody whose statements would be trusted',
    );
  return parseClientMetadata(ownMetadata(document));
}

/** @param current what it has may stay: an administrator may have given more than the policy */
function requirePolicy(settings: ClientSettings, { allowedScope }: RegistrationPolicy, current?: ClientSettings): void {
  const fields: FieldProblem[] = [];
  const { authMethod, grantTypes } = settings;
  if (!SELF_AUTH_METHODS.includes(authMethod) && authMethod !== current?.authMethod)
    fields.push(field('token_endpoint_auth_method', `must be one of ${SELF_AUTH_METHODS.join(', ')}`));
  if (!grantTypes.every((grant) => SELF_GRANT_TYPES.includes(grant) || current?.grantTypes.includes(grant)))
    fields.push(field('grant_types', `must not have more than ${SELF_GRANT_TYPES.join(', ')}`));
  const gained = settings.scope.filter((scope) => !current?.scope.includes(scope));
  if (ownScopes(gained).length > 0) fields.push(field('scope', 'must not have a scope of this server: auth:*'));
  else if (allowedScope && !gained.every((scope) => allowedScope.includes(scope)))
    fields.push(field('scope', 'must not have more than the registration allows'));
  refuse(fields);
}

function field(name: string, detail: string): FieldProblem {
  return { pointer: `/${name}`, detail };
}

function refuse(fields: readonly FieldProblem[]): void {
  if (fields.length > 0) throw new Problem('invalid_client_metadata', 'the client metadata is not valid', fields);
}

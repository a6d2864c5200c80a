/** Client metadata by its wire names: RFC 7591 §2, and ours beside it (docs/client.md). */
import { z } from 'zod';
import { isAbsoluteUri } from './absolute-uri.ts';
import { PROTOCOL_CLAIMS } from './access-token.ts';
import { assertionKeyProblems } from './assertion-keys.ts';
import { ASSERTION_ALGS, KEYS_MAX, PRIVATE_MEMBERS } from './client-keys.ts';
import { ACCESS_TOKEN_LIMIT_MAX, ACCESS_TOKEN_TTL_MAX_SECONDS, AUTH_METHODS, CLIENT_ID_PATTERN, type ClientSettings } from './clients.ts';
import { type FieldProblem, Problem } from './errors.ts';
import { fieldProblems, pointer } from './fields.ts';
import { parseScope } from './scope.ts';
import { GRANT_TYPES } from './token.ts';

/** Together they keep a JWT well below the 16 KiB of a form, so that whatever is issued can be introspected and revoked. */
const SCOPE_CHARACTERS_MAX = 2000;
const AUDIENCE_BYTES_MAX = 2000;
const CLAIMS_BYTES_MAX = 4000;
const fitsToken = (bytesMax: number) => (value: unknown) => Buffer.byteLength(JSON.stringify(value)) <= bytesMax;
const tooLong = (bytesMax: number) => `must have at most ${bytesMax} bytes as JSON`;

/** Text that PostgreSQL, a log line and a terminal can take: no control characters. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not contain control characters');
const absoluteUri = (max = 2000) =>
  z
    .string()
    .max(max)
    .refine((value) => isAbsoluteUri(value), 'must be an absolute URI without a fragment');
const webUri = absoluteUri().refine((value) => /^https?:\/\//i.test(value), 'must be an http or https URL');
const distinct = <T extends z.ZodType>(item: T, max: number) =>
  z
    .array(item)
    .max(max)
    .refine((items) => !Array.isArray(items) || new Set(items).size === items.length, 'must not repeat a value');

/** RFC 7591 §2 that this server keeps as it came; it acts on no more of it than the keys. */
const REGISTRATION = {
  client_name: text(200).optional(),
  client_uri: webUri.optional(),
  logo_uri: webUri.optional(),
  tos_uri: webUri.optional(),
  policy_uri: webUri.optional(),
  contacts: distinct(text(320).min(1), 20).optional(),
  redirect_uris: distinct(
    absoluteUri().refine(
      (value) => !/^(javascript|data|file|vbscript|blob|about):/i.test(value) && !value.includes('*'),
      'is not allowed as a redirect URI',
    ),
    100,
  ).optional(),
  response_types: z.array(z.never({ error: 'no response type is supported: there is no authorization endpoint' })).optional(),
  jwks_uri: webUri.optional(),
  jwks: z
    .looseObject({
      keys: z
        .array(
          z.looseObject({ kty: z.enum(['EC', 'OKP', 'RSA']) }).superRefine((key, context) => {
            for (const path of PRIVATE_MEMBERS.filter((member) => member in key))
              context.addIssue({ code: 'custom', path: [path], message: 'is part of a private key' });
          }),
        )
        .max(KEYS_MAX),
    })
    .optional(),
  token_endpoint_auth_signing_alg: z.enum(ASSERTION_ALGS).optional(),
  software_id: text(200).optional(),
  software_version: text(200).optional(),
};
/** RFC 7591 §2.2: these may carry a language tag, `client_name#de`. */
export const LOCALIZED = /^(client_name|client_uri|logo_uri|tos_uri|policy_uri)#[A-Za-z0-9-]{1,35}$/;

/** But for the refinements, what a description of the API can be made of. */
export const METADATA = z
  .strictObject({
    ...REGISTRATION,
    token_endpoint_auth_method: z.enum(AUTH_METHODS).default('client_secret_basic'),
    grant_types: distinct(z.enum(GRANT_TYPES), 10).default(['client_credentials']),
    scope: z
      .string()
      .max(SCOPE_CHARACTERS_MAX)
      .default('')
      .refine((value) => parseScope(value) !== undefined, 'must be scope tokens with one space between them (RFC 6749 §3.3)')
      .transform((value) => parseScope(value) ?? []),
    audience: distinct(text(500).min(1), 50).refine(fitsToken(AUDIENCE_BYTES_MAX), tooLong(AUDIENCE_BYTES_MAX)).default([]),
    resources: distinct(absoluteUri(500), 50).default([]),
    claims: z
      .record(text(200).min(1), z.unknown())
      .default({})
      .superRefine((claims, context) => {
        for (const name of Object.keys(claims).filter((name) => PROTOCOL_CLAIMS.has(name))) {
          context.addIssue({ code: 'custom', path: [name], message: 'is a protocol claim and cannot be set' });
        }
      })
      .refine(fitsToken(CLAIMS_BYTES_MAX), tooLong(CLAIMS_BYTES_MAX)),
    access_token_format: z.enum(['reference', 'jwt']).default('reference'),
    access_token_ttl: z.int().min(1).max(ACCESS_TOKEN_TTL_MAX_SECONDS).optional(),
    access_token_limit: z.int().min(1).max(ACCESS_TOKEN_LIMIT_MAX).optional(),
    introspection_max_age: z.int().min(0).max(86_400).default(0),
    disabled: z.boolean().default(false),
    administers: z
      .strictObject({
        prefix: z.string().regex(CLIENT_ID_PATTERN, 'must be what a client id can begin with').optional(),
        created: z.literal(true, 'must be true, or not be there').optional(),
      })
      .refine(({ prefix, created }) => prefix !== undefined || created, 'must have prefix, created or both')
      .optional(),
  })
  .refine((metadata) => !(metadata.jwks && metadata.jwks_uri), { path: ['jwks_uri'], message: 'must not be given together with jwks' })
  .superRefine((metadata, context) => {
    for (const { path, message } of assertionKeyProblems(metadata)) context.addIssue({ code: 'custom', path: [...path], message });
  });

/** So many tell what is wrong. */
const PROBLEMS_MAX = 100;

/** Members of a client document that the server sets; ignored when they come back, so that what was read can be written. */
const READ_ONLY = ['client_id', 'client_id_issued_at', 'client_secret_expires_at', 'secrets', 'created_at', 'created_by', 'updated_at'];

/**
 * Metadata by its wire names, read strictly: an unknown member is refused, so that a typing error is not silent.
 *
 * @throws Problem `invalid_client_metadata` or `invalid_redirect_uri` — one entry per field that is wrong
 */
export function parseClientMetadata(document: Readonly<Record<string, unknown>>): ClientSettings {
  const given = Object.entries(document).filter(([name]) => !READ_ONLY.includes(name));
  const localized = given.filter(([name]) => LOCALIZED.test(name));
  const result = METADATA.safeParse(Object.fromEntries(given.filter(([name]) => !LOCALIZED.test(name))));
  const problems = [
    ...(result.success ? [] : result.error.issues.flatMap(fieldProblems)),
    ...localized
      .filter(([name, value]) => !REGISTRATION[name.split('#')[0] as 'client_name'].safeParse(value).success)
      .map(([name]) => ({ pointer: pointer([name]), detail: 'is not valid' })),
  ];
  // One problem a field: what fails first says most.
  const byPointer = new Map<string, FieldProblem>();
  for (const problem of problems) if (!byPointer.has(problem.pointer)) byPointer.set(problem.pointer, problem);
  const fields = [...byPointer.values()].slice(0, PROBLEMS_MAX);
  if (!result.success || fields.length > 0) {
    const code = fields.every((field) => field.pointer.startsWith('/redirect_uris')) ? 'invalid_redirect_uri' : 'invalid_client_metadata';
    throw new Problem(code, 'the client metadata is not valid', fields);
  }
  const metadata = result.data;
  return {
    authMethod: metadata.token_endpoint_auth_method,
    grantTypes: metadata.grant_types,
    scope: metadata.scope,
    audience: metadata.audience,
    resources: metadata.resources,
    claims: metadata.claims,
    accessTokenFormat: metadata.access_token_format,
    accessTokenTtlSeconds: metadata.access_token_ttl,
    accessTokenLimit: metadata.access_token_limit,
    introspectionMaxAgeSeconds: metadata.introspection_max_age,
    disabled: metadata.disabled,
    ...(metadata.administers && { administers: metadata.administers }),
    registration: Object.fromEntries([...Object.entries(metadata).filter(([name]) => name in REGISTRATION), ...localized]),
  };
}

/** What a client may set for itself: RFC 7591 §2. Our own members are an administrator's to decide: one of them puts a client into others' audience. */
export const SELF_SET: readonly string[] = [...Object.keys(REGISTRATION), 'token_endpoint_auth_method', 'grant_types', 'scope'];

/** RFC 7591 §2: members that are not understood are ignored, and so are those that are not the client's to set; null is as good as absent (RFC 7592 §2.2). */
export function ownMetadata(document: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const isOwn = ([name, value]: [string, unknown]) => value !== null && (SELF_SET.includes(name) || LOCALIZED.test(name));
  return Object.fromEntries(Object.entries(document).filter(isOwn));
}

/** The settings by their wire names; what {@link parseClientMetadata} reads back without loss. */
export function clientMetadata(client: ClientSettings): Readonly<Record<string, unknown>> {
  return {
    ...client.registration,
    token_endpoint_auth_method: client.authMethod,
    grant_types: client.grantTypes,
    scope: client.scope.join(' '),
    audience: client.audience,
    resources: client.resources,
    claims: client.claims,
    access_token_format: client.accessTokenFormat,
    ...(client.accessTokenTtlSeconds !== undefined && { access_token_ttl: client.accessTokenTtlSeconds }),
    ...(client.accessTokenLimit !== undefined && { access_token_limit: client.accessTokenLimit }),
    introspection_max_age: client.introspectionMaxAgeSeconds,
    disabled: client.disabled,
    ...(client.administers && { administers: client.administers }),
  };
}

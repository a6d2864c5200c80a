/** `/clients` and their secrets: the request is the schema that reads it, the answer is made of the same members. */
import { LOCALIZED, METADATA } from '../core/client-metadata.ts';
import { CLIENT_ID_PATTERN } from '../core/clients.ts';
import { NEW_SECRET } from '../http/client-secrets.ts';
import { parameters } from './components.ts';
import {
  type Answers,
  bodyOf,
  count,
  headers,
  instant,
  json,
  management,
  type Operations,
  object,
  page,
  query,
  ref,
  refusalAnswer,
  type Schema,
  text,
} from './operation.ts';

const MEANINGS: Readonly<Record<string, string>> = {
  client_name: 'for people',
  client_uri: 'its home page',
  logo_uri: 'its logo',
  tos_uri: 'its terms of service',
  policy_uri: 'what it does with data',
  contacts: 'who is responsible for it',
  redirect_uris: 'kept for others to read',
  response_types: 'only `[]`: there is no authorization endpoint',
  jwks_uri: 'where its public keys are; not together with `jwks`',
  jwks: 'its public keys; not together with `jwks_uri`',
  software_id: 'names the software',
  software_version: 'its version',
  token_endpoint_auth_signing_alg: 'with `private_key_jwt`: the only algorithm of its assertions',
  token_endpoint_auth_method: 'how it authenticates; another method is refused',
  grant_types: 'what it may do at `POST /token`; `[]` for a client that introspects only',
  scope: 'what it may ask for, and gets when it asks for nothing: scope tokens with one space between them',
  audience: '`aud` of its tokens; empty means the issuer; at most 2,000 bytes as JSON',
  resources: 'absolute URIs that it serves: it may introspect tokens with one of them in `aud`',
  claims: 'static claims in its tokens, but none that the protocol gives a meaning to; at most 4,000 bytes as JSON',
  access_token_format: 'what it gets',
  access_token_ttl: 'seconds; without it the server’s',
  access_token_limit: 'so many of its tokens may be alive at a time; beyond it `/token` answers 429',
  introspection_max_age: 'seconds for which it may keep an introspection as a caller',
  disabled: '`true` refuses it, and ends all its tokens',
  administers: 'with `auth:clients`: only clients whose ids begin with `prefix`, only those that it `created`; absent: all',
};

export const { properties: METADATA_MEMBERS } = bodyOf(METADATA, MEANINGS);
export const OTHER_LANGUAGES = { patternProperties: { [LOCALIZED.source]: text('the same in the language of the tag, RFC 7591 §2.2') } };
const ID: Schema = text('1 to 128 characters; never given twice', { pattern: CLIENT_ID_PATTERN.source });

/** What a client that was read has and may send back. */
const ignored = (description: string): Schema => ({ description: `${description}; ignored in a request`, readOnly: true });
const IGNORED: Readonly<Record<string, Schema>> = {
  client_id_issued_at: ignored('epoch seconds'),
  client_secret_expires_at: ignored('0: it has no end of its own'),
  secrets: ignored('see `/clients/{client_id}/secrets`'),
  created_at: ignored('a time'),
  created_by: ignored('a client id'),
  updated_at: ignored('a time'),
};

export const secretMembers: Readonly<Record<string, Schema>> = {
  id: text('names it', { format: 'uuid' }),
  'name?': text('for people'),
  created_at: instant('when it was made'),
  'expires_at?': instant('from then on it is wrong'),
  'last_used_at?': instant('when it was last right; up to a minute behind'),
};

const NOTICE = text('in place of the secret, where a request is repeated: how to get another');

/** Always there, or only if it was set. */
const ALWAYS = [
  ...['token_endpoint_auth_method', 'grant_types', 'scope', 'audience', 'resources', 'claims', 'access_token_format'],
  ...['introspection_max_age', 'disabled'],
];
export const clientMembers: Readonly<Record<string, Schema>> = {
  client_id: ID,
  client_id_issued_at: count('when it was made, epoch seconds'),
  ...Object.fromEntries(
    Object.entries(METADATA_MEMBERS).map(([name, { default: _, ...schema }]) => [ALWAYS.includes(name) ? name : `${name}?`, schema]),
  ),
  secrets: { type: 'array', items: ref('Secret'), description: 'without their values' },
  created_at: instant('when it was made'),
  'created_by?': text('the client that made it'),
  updated_at: instant('when it was last changed'),
};

export const clientSchemas: Readonly<Record<string, Schema>> = {
  ClientMetadata: {
    type: 'object',
    description: 'RFC 7591 §2, and members of this server. Any other member is refused.',
    properties: { client_id: { ...ID, description: 'a UUID if it is not given; cannot be changed' }, ...METADATA_MEMBERS, ...IGNORED },
    ...OTHER_LANGUAGES,
    additionalProperties: false,
  },
  ClientPatch: {
    type: 'object',
    description: 'A merge patch (RFC 7396) for `ClientMetadata`: members replace, `null` restores the default, objects are merged.',
    properties: {
      client_id: { ...ID, type: ['string', 'null'], description: 'cannot be changed' },
      ...patch(METADATA_MEMBERS),
      ...IGNORED,
    },
    patternProperties: { [LOCALIZED.source]: { type: ['string', 'null'] } },
    additionalProperties: false,
  },
  Client: object(clientMembers, { description: 'A client as it is read.', ...OTHER_LANGUAGES }),
  NewClient: object(
    {
      ...clientMembers,
      'client_secret?': text('shown in this answer only; absent for a client that has none, and where a request is repeated'),
      'notice?': NOTICE,
      'client_secret_expires_at?': { const: 0, description: '0: it has no end' },
    },
    { description: 'A client that was just made.', ...OTHER_LANGUAGES },
  ),
  SecretOrder: {
    ...bodyOf(NEW_SECRET, {
      name: 'for people',
      expires_at: 'a time in the future: from then on it is wrong',
      previous_expires_at: 'a time in the future: the other secrets of the client end then, but for those that end before',
    }),
    description: 'What a new secret is to be like.',
  },
  Secret: object(secretMembers, { description: 'A secret, without its value.' }),
  NewSecret: object(
    { ...secretMembers, 'client_secret?': text('shown in this answer only; absent where a request is repeated'), 'notice?': NOTICE },
    { description: 'A secret that was just made.' },
  ),
};

export const SECRET_EXAMPLE = { id: '7a91750c-4a66-4e0d-85c7-26f51530d88e', created_at: '2026-11-24T09:08:10.196Z' };
const CREATE_EXAMPLE = { client_id: 'billing', client_name: 'Billing', scope: 'invoices:read invoices:write', claims: { tenant: 'acme' } };
export const CLIENT_EXAMPLE = {
  client_id: 'billing',
  client_id_issued_at: 1795511290,
  client_name: 'Billing',
  token_endpoint_auth_method: 'client_secret_basic',
  grant_types: ['client_credentials'],
  scope: 'invoices:read invoices:write',
  audience: [],
  resources: [],
  claims: { tenant: 'acme' },
  access_token_format: 'reference',
  introspection_max_age: 0,
  disabled: false,
  secrets: [SECRET_EXAMPLE],
  created_at: '2026-11-24T09:08:10.196Z',
  updated_at: '2026-11-24T09:08:10.196Z',
};
const CLIENT_SECRET = '0qkqLphbME5fr44Ia4MoMyPwKq9z_G4eQ5DIGUnyrro';

/** For every operation that reads the metadata of a client. */
export const badMetadata: Answers = { 400: refusalAnswer('management', 400) };

const READERS = ['auth:clients:read', 'auth:clients'];
const WRITERS = ['auth:clients'];
const THE_CLIENT = { headers: headers('ETag'), content: json(ref('Client'), { 'a client': CLIENT_EXAMPLE }) };

export const clientOperations: Operations = {
  'GET /clients': management({
    operationId: 'listClients',
    tags: ['Clients'],
    summary: 'List clients, all or those that match',
    description: 'In the order of their ids. All that is given has to hold; a parameter that is unknown or repeated is refused.',
    scopes: READERS,
    parameters: [
      query('q', 'A part of `client_id` or `client_name`, whatever the case.', { type: 'string', minLength: 1, maxLength: 200 }),
      query('scope', 'A scope token that it may ask for.', { type: 'string', minLength: 1 }),
      query('disabled', 'Whether it is disabled.', { type: 'boolean' }),
      ...parameters('limit', 'cursor'),
    ],
    answers: {
      200: {
        description: 'A page.',
        content: json(page(ref('Client')), { 'a page': { items: [CLIENT_EXAMPLE], next_cursor: 'YmlsbGluZw' } }),
      },
    },
  }),
  'POST /clients': management({
    operationId: 'createClient',
    tags: ['Clients'],
    summary: 'Make a client',
    description: 'With a secret, which is shown once. A scope that begins with `auth:` can be given only by a token that holds it.',
    scopes: WRITERS,
    parameters: parameters('Idempotency-Key'),
    requestBody: {
      required: true,
      content: json(ref('ClientMetadata'), { 'a client with a scope': CREATE_EXAMPLE, 'all by default': {} }),
    },
    answers: {
      201: {
        description: 'The client.',
        headers: headers('ETag', 'Location'),
        content: json(ref('NewClient'), { made: { ...CLIENT_EXAMPLE, client_secret: CLIENT_SECRET, client_secret_expires_at: 0 } }),
      },
      ...badMetadata,
    },
    refusals: [409, 422],
  }),
  'GET /clients/:client_id': management({
    operationId: 'getClient',
    tags: ['Clients'],
    summary: 'Read a client',
    scopes: READERS,
    parameters: parameters('If-Match', 'If-None-Match'),
    answers: {
      200: { description: 'The client.', ...THE_CLIENT },
      304: { description: 'It is as it was.', headers: headers('ETag') },
    },
    refusals: [404, 412],
  }),
  'PUT /clients/:client_id': management({
    operationId: 'replaceClient',
    tags: ['Clients'],
    summary: 'Replace the metadata of a client',
    description: 'What is left out gets its default. Its tokens stay as they were issued.',
    scopes: WRITERS,
    parameters: parameters('If-Match', 'If-None-Match'),
    requestBody: {
      required: true,
      content: json(ref('ClientMetadata'), { 'another scope': { client_name: 'Billing', scope: 'invoices:read' } }),
    },
    answers: { 200: { description: 'The client as it is now.', ...THE_CLIENT }, ...badMetadata },
    refusals: [404, 412],
  }),
  'PATCH /clients/:client_id': management({
    operationId: 'changeClient',
    tags: ['Clients'],
    summary: 'Change some of the metadata of a client',
    scopes: WRITERS,
    parameters: parameters('If-Match', 'If-None-Match'),
    requestBody: {
      required: true,
      content: {
        ...json(ref('ClientPatch'), { 'a lifetime': { access_token_ttl: 600, claims: { tenant: null } } }, 'application/merge-patch+json'),
        ...json(ref('ClientPatch'), { 'the default again': { access_token_ttl: null } }),
      },
    },
    answers: { 200: { description: 'The client as it is now.', ...THE_CLIENT }, ...badMetadata },
    refusals: [404, 412],
  }),
  'DELETE /clients/:client_id': management({
    operationId: 'deleteClient',
    tags: ['Clients'],
    summary: 'Delete a client, and end all its tokens',
    description: 'Its id is never given again.',
    scopes: WRITERS,
    parameters: parameters('If-Match', 'If-None-Match'),
    answers: { 204: { description: 'It is gone.' } },
    refusals: [404, 412],
  }),
  'POST /clients/:client_id/secrets': management({
    operationId: 'addSecret',
    tags: ['Clients'],
    summary: 'Add a secret to a client',
    description: 'A client has ten at most, and each of them counts. With `previous_expires_at` it is a rotation in one step.',
    scopes: WRITERS,
    parameters: parameters('If-Match', 'If-None-Match', 'Idempotency-Key'),
    requestBody: {
      required: false,
      content: json(ref('SecretOrder'), {
        'one that ends': { name: '2027', expires_at: '2099-12-31T00:00:00Z' },
        'a rotation': { previous_expires_at: '2099-06-30T00:00:00Z' },
      }),
    },
    answers: {
      201: {
        description: 'The secret.',
        content: json(ref('NewSecret'), { made: { ...SECRET_EXAMPLE, name: '2027', client_secret: CLIENT_SECRET } }),
      },
    },
    refusals: [404, 409, 412, 422],
  }),
  'DELETE /clients/:client_id/secrets/:secret_id': management({
    operationId: 'removeSecret',
    tags: ['Clients'],
    summary: 'Remove a secret of a client',
    scopes: WRITERS,
    parameters: [
      query('revoke_tokens', '`true`: all tokens of the client end in the same step.', { type: 'boolean', default: false }),
      ...parameters('If-Match', 'If-None-Match'),
    ],
    answers: { 204: { description: 'It is wrong from now on.' } },
    refusals: [404, 412],
  }),
};

/** An object may be given in part, or the patch would have to be the whole. */
export function patch(members: Readonly<Record<string, Schema>>): Readonly<Record<string, Schema>> {
  const nullable = ({ description, default: _, ...schema }: Schema): Schema => ({
    ...(schema.type === 'object' ? { type: ['object', 'null'] } : { anyOf: [schema, { type: 'null' }] }),
    description,
  });
  return Object.fromEntries(Object.entries(members).map(([name, schema]) => [name, nullable(schema)]));
}

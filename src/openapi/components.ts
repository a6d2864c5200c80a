/** What several operations share: errors, headers, parameters, ways to authenticate. */
import { CLIENT_ID_PATTERN } from '../core/clients.ts';
import { OWN_SCOPES } from '../core/scope.ts';
import { PAGE_DEFAULT, PAGE_MAX } from '../http/management.ts';
import { type Header, object, type Parameter, type Ref, type Schema, text } from './operation.ts';

export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Problem: object(
    {
      type: { const: 'about:blank' },
      title: text('the name of the status'),
      status: { type: 'integer', description: 'the status' },
      detail: text('what was wrong, for people: constant, never what was sent'),
      error: text('what was wrong, for programs'),
      'errors?': {
        type: 'array',
        description: 'each member of the body that is wrong',
        items: object({ pointer: text('JSON pointer (RFC 6901) into the body'), detail: text('what it has to be') }),
      },
    },
    { description: 'An error of the management endpoints, RFC 9457.' },
  ),
  OAuthError: object(
    { error: text('a code of RFC 6749 §5.2, or of HTTP'), error_description: text('for people: constant, never what was sent') },
    { description: 'An error of the OAuth endpoints, RFC 6749 §5.2.' },
  ),
};

const header = (description: string, schema: Schema = { type: 'string' }): Header => ({ description, required: true, schema });
export const HEADERS: Readonly<Record<string, Header>> = {
  Accept: header('The media types that the body may have.'),
  'Cache-Control': header('How long the answer may be kept.'),
  ETag: header('The state that was read or made (RFC 9110 §8.8.3), for `If-Match` and `If-None-Match`.'),
  Location: header('Where what was made is to be found.'),
  'Retry-After': header('Seconds after which to ask again.', { type: 'string', pattern: '^[0-9]+$' }),
  'WWW-Authenticate': header('How to authenticate; with a code if what was presented is not good (RFC 6750 §3).'),
  'X-Request-Id': header('Names the request in the audit.'),
};

const ETAGS = '`*`, or entity tags in double quotes with commas between them (RFC 9110 §13.1)';
export const PARAMETERS: Readonly<Record<string, Parameter>> = {
  client_id: {
    name: 'client_id',
    in: 'path',
    required: true,
    description: 'Names the client.',
    schema: { type: 'string', pattern: CLIENT_ID_PATTERN.source },
    example: 'billing',
  },
  id: {
    name: 'id',
    in: 'path',
    required: true,
    description: 'Names the initial access token.',
    schema: { type: 'string', format: 'uuid' },
    example: 'b4da23e4-317a-4cc4-a846-904f4f734051',
  },
  scope: {
    name: 'scope',
    in: 'path',
    required: true,
    description: 'The scope token, percent-encoded.',
    schema: { type: 'string' },
    example: 'invoices:read',
  },
  secret_id: {
    name: 'secret_id',
    in: 'path',
    required: true,
    description: 'Names the secret: the `id` that the client shows.',
    schema: { type: 'string', format: 'uuid' },
    example: '7a91750c-4a66-4e0d-85c7-26f51530d88e',
  },
  limit: {
    name: 'limit',
    in: 'query',
    description: 'Items of a page.',
    schema: { type: 'integer', minimum: 1, maximum: PAGE_MAX, default: PAGE_DEFAULT },
  },
  cursor: { name: 'cursor', in: 'query', description: 'The `next_cursor` of the page before.', schema: { type: 'string' } },
  'If-Match': { name: 'If-Match', in: 'header', description: `Only if this is its state, else 412: ${ETAGS}.`, schema: { type: 'string' } },
  'If-None-Match': {
    name: 'If-None-Match',
    in: 'header',
    description: `Only if this is not its state: ${ETAGS}.`,
    schema: { type: 'string' },
  },
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'Who repeats a request with the same key within a day is answered as at first. In quotes or not, 1 to 200 characters.',
    schema: { type: 'string', pattern: '^("[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,200}"|[\\x21\\x23-\\x2b\\x2d-\\x5b\\x5d-\\x7e]{1,200})$' },
    example: 'drill-2027-01',
  },
  'X-Request-Id': {
    name: 'X-Request-Id',
    in: 'header',
    description: 'Names the request in the audit and in the answer; without it, or with another form, it gets a UUID.',
    schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,128}$' },
  },
};

/** @param names in {@link PARAMETERS} */
export function parameters(...names: readonly (keyof typeof PARAMETERS)[]): readonly Ref[] {
  return names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

export function securitySchemes(issuer: string): Readonly<Record<string, Schema>> {
  const scopes = Object.fromEntries(OWN_SCOPES.map((scope) => [scope, SCOPE_MEANINGS[scope] ?? '']));
  return {
    client_secret_basic: {
      type: 'http',
      scheme: 'basic',
      description:
        'Client id and secret, RFC 6749 §2.3.1. The other way, client_secret_post, is no scheme of OpenAPI: `client_id` and `client_secret` in the form.',
    },
    oauth2: {
      type: 'oauth2',
      description: 'A token of this server for its own API.',
      flows: { clientCredentials: { tokenUrl: `${issuer}/token`, scopes } },
    },
    registration: {
      type: 'http',
      scheme: 'bearer',
      description: 'An initial access token at `POST /register`, else the registration access token of the client (RFC 7591, RFC 7592).',
    },
    bearer: { type: 'http', scheme: 'bearer', description: 'A token that is there already, with the scope that is named.' },
  };
}

const SCOPE_MEANINGS: Readonly<Record<string, string>> = {
  'auth:clients': 'make, read, change and delete clients, and the scope catalogue',
  'auth:clients:read': 'read clients and the scope catalogue',
  'auth:introspect': 'introspect every token',
  'auth:revocations': 'end tokens in bulk, and read the feed',
  'auth:revocations:read': 'read the feed of revocations',
  'auth:keys': 'see and rotate signing keys',
  'auth:audit': 'read the audit',
};

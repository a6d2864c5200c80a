/** The OAuth endpoints: `/token`, `/introspect`, `/revoke`, and what is published for verifiers. */
import { SIGNING_ALGS } from '../core/signing-key.ts';
import { GRANT_TYPES } from '../core/token.ts';
import {
  type Answer,
  type Content,
  count,
  headers,
  json,
  type Operations,
  object,
  open,
  type Parameter,
  ref,
  refusalAnswer,
  refused,
  type Schema,
  text,
} from './operation.ts';

const TOKEN = 'at_Uqp2pF9v_w-U8P8_WHhFWaI7XX7CBSo7uzszAfG0xPU026sCX';
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5jb20ifQ.c2lnbmF0dXJl';
const CLAIMS = {
  iss: 'https://auth.example.com',
  sub: 'billing',
  aud: 'https://stock.example.com',
  client_id: 'billing',
  exp: 1795514890,
  iat: 1795511290,
  jti: '0f0e2d0c-6b5a-4c39-9d28-1706f5e4d3c2',
  scope: 'invoices:read',
};

const AUDIENCE: Schema = {
  oneOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }],
  description: 'where the token is good',
};
const JWK = object(
  {
    kty: text('RFC 7518 §6.1'),
    kid: text('RFC 7638 thumbprint'),
    alg: { enum: SIGNING_ALGS },
    use: { const: 'sig' },
    'crv?': text('of EC and OKP'),
    'x?': text('of EC and OKP'),
    'y?': text('of EC'),
    'n?': text('of RSA'),
    'e?': text('of RSA'),
  },
  { description: 'A public key, RFC 7517.' },
);

export const oauthSchemas: Readonly<Record<string, Schema>> = {
  AccessToken: object(
    {
      access_token: text('a reference token, or a JWT if the client has `access_token_format` `jwt`'),
      token_type: { const: 'Bearer' },
      expires_in: count('seconds'),
      'scope?': text('what was granted; absent when that is nothing'),
    },
    { description: 'RFC 6749 §5.1.' },
  ),
  Introspection: {
    description: 'RFC 7662 §2.2. An active answer has the static claims of the client as well.',
    oneOf: [
      object({ active: { const: false } }, { title: 'inactive, unknown, or not for this caller', additionalProperties: false }),
      object(
        {
          active: { const: true },
          token_type: { const: 'Bearer' },
          iss: text('the issuer'),
          sub: text('whom the token stands for: the client'),
          aud: AUDIENCE,
          client_id: text('who asked for the token'),
          exp: count('when it ends, epoch seconds'),
          iat: count('when it was issued, epoch seconds'),
          jti: text('names the token, opens nothing'),
          'scope?': text('scope tokens with one space between them'),
        },
        { title: 'active', additionalProperties: true },
      ),
    ],
  },
  Jwks: object({ keys: { type: 'array', items: JWK, description: 'the one that signs comes first' } }, { description: 'RFC 7517 §5.' }),
  ServerMetadata: object(
    {
      issuer: text('the issuer'),
      token_endpoint: text('a URL'),
      grant_types_supported: { type: 'array', items: { type: 'string' }, description: 'what `POST /token` takes' },
      jwks_uri: text('a URL'),
    },
    { description: 'RFC 8414 §2. Only what is there is in it.', additionalProperties: true },
  ),
};

/** Client authentication that is in the body. */
const CREDENTIALS: Readonly<Record<string, Schema>> = {
  'client_id?': text('with `client_secret_post`, or of a public client; with Basic it may be sent, too, and must be the same'),
  'client_secret?': text('with `client_secret_post` only'),
  'client_assertion?': text('with `private_key_jwt` only: a JWT that a key of the client has signed (RFC 7523)'),
  'client_assertion_type?': text('`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with `client_assertion`'),
};
const HINT: Schema = text('ignored: there is one kind of token');

const BASIC_OR_BODY = [{ client_secret_basic: [] }, {}];

export const oauthOperations: Operations = {
  'POST /token': {
    operationId: 'issueToken',
    tags: ['OAuth'],
    summary: 'Issue an access token',
    description: 'RFC 6749 §3.2. Unknown parameters are ignored, one that is repeated or in the query is refused.',
    security: BASIC_OR_BODY,
    requestBody: {
      required: true,
      content: form(
        {
          grant_type: { enum: GRANT_TYPES, description: 'the grant' },
          'scope?': text('scope tokens with one space between them; without it all that the client is registered for'),
          'resource?': {
            type: 'array',
            items: { type: 'string' },
            description: 'where the token is to be used (RFC 8707); may be repeated; within the client’s `audience`',
          },
          ...CREDENTIALS,
        },
        { 'part of the scope': { grant_type: 'client_credentials', scope: 'invoices:read' }, all: { grant_type: 'client_credentials' } },
      ),
    },
    responses: {
      200: {
        description: 'The token.',
        content: json(ref('AccessToken'), {
          'a reference token': { access_token: TOKEN, token_type: 'Bearer', expires_in: 3600, scope: 'invoices:read' },
        }),
      },
      ...refused('oauth', [400, 413, 429, 503]),
      401: clientRefused(),
    },
  },
  'POST /introspect': {
    operationId: 'introspectToken',
    tags: ['OAuth'],
    summary: 'Say whether a token is active, and what it stands for',
    description:
      'RFC 7662. Active for its own client, for a resource server in its audience, and for who holds `auth:introspect`; for others it is inactive. ' +
      '`Accept` chooses JSON, the same as a signed JWT (RFC 9701), or the JWT that the token stands for.',
    security: [{ client_secret_basic: [] }, { oauth2: ['auth:introspect'] }, { bearer: ['auth:introspect'] }, {}],
    parameters: [
      {
        name: 'Prefer',
        in: 'header',
        description: '`consistency=strict`: every revocation that was answered before this request counts (RFC 7240).',
        schema: { type: 'string' },
        example: 'consistency=strict',
      } satisfies Parameter,
    ],
    requestBody: {
      required: true,
      content: form({ token: text('of either format'), 'token_type_hint?': HINT, ...CREDENTIALS }, { 'a token': { token: TOKEN } }),
    },
    responses: {
      200: {
        description: 'What is known of it, or that it is not active.',
        headers: {
          ...headers('Cache-Control'),
          Vary: { description: '`Accept`', required: true, schema: { const: 'Accept' } },
          'Preference-Applied': { description: 'The preference that was obeyed.', schema: { type: 'string' } },
          'Auth-Feed-Max-Age': {
            description: 'Seconds for which who follows the feed of revocations may keep the answer; to callers that may read it.',
            schema: { type: 'string', pattern: '^[0-9]+$' },
          },
        },
        content: {
          ...json(ref('Introspection'), { active: { active: true, token_type: 'Bearer', ...CLAIMS }, 'not active': { active: false } }),
          ...json(text('the answer as a signed JWT, RFC 9701 §5'), { signed: JWT }, 'application/token-introspection+jwt'),
          ...json(text('the JWT that the token stands for, RFC 9068'), { 'the JWT': JWT }, 'application/jwt'),
        },
      },
      204: { description: 'The JWT was asked for, and the token is not active.' },
      ...refused('oauth', [400, 406, 413, 429, 503]),
      401: refusalAnswer('oauth', 401, ['invalid_client', 'invalid_token']),
      403: refusalAnswer('oauth', 403, ['insufficient_scope']),
    },
  },
  'POST /revoke': {
    operationId: 'revokeToken',
    tags: ['OAuth'],
    summary: 'End a token of one’s own',
    description: 'RFC 7009. 200 means durable; a token that is unknown or has ended is no error. A public client sends its `client_id`.',
    security: BASIC_OR_BODY,
    requestBody: {
      required: true,
      content: form({ token: text('of either format'), 'token_type_hint?': HINT, ...CREDENTIALS }, { 'a token': { token: TOKEN } }),
    },
    responses: {
      200: { description: 'It is not active any more.', content: json({ type: 'object', maxProperties: 0 }, { done: {} }) },
      ...refused('oauth', [400, 413, 429, 503]),
      401: clientRefused(),
    },
  },
  'GET /jwks': open({
    operationId: 'getJwks',
    tags: ['OAuth'],
    summary: 'The public keys',
    description: 'RFC 7517. A key is published before it signs; whoever obeys `Cache-Control` knows it in time.',
    answers: {
      200: {
        description: 'All keys whose signatures may be met.',
        headers: headers('Cache-Control'),
        content: json(ref('Jwks'), {
          'one key': {
            keys: [
              {
                kty: 'EC',
                crv: 'P-256',
                x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
                y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
                kid: 'mRt_vHdVqdIQTKASsXEycbILhaxhu9ZSsaNRfdG93gA',
                alg: 'ES256',
                use: 'sig',
              },
            ],
          },
        }),
      },
      ...refused('oauth', [503]),
    },
  }),
};

/** At the listener's root. */
export const metadataOperations: Operations = {
  'GET /.well-known/oauth-authorization-server': open({
    operationId: 'getServerMetadata',
    tags: ['OAuth'],
    summary: 'Metadata of the authorization server',
    description: 'RFC 8414.',
    answers: {
      200: {
        description: 'What is there, and where.',
        headers: headers('Cache-Control'),
        content: json(ref('ServerMetadata'), {
          metadata: {
            issuer: 'https://auth.example.com',
            token_endpoint: 'https://auth.example.com/token',
            grant_types_supported: GRANT_TYPES,
            jwks_uri: 'https://auth.example.com/jwks',
          },
        }),
      },
      ...refused('oauth', [503]),
    },
  }),
};

function clientRefused(): Answer {
  return refusalAnswer('oauth', 401, ['invalid_client']);
}

function form(members: Readonly<Record<string, Schema>>, examples: Readonly<Record<string, unknown>>): Content {
  return json(object(members, { additionalProperties: true }), examples, 'application/x-www-form-urlencoded');
}

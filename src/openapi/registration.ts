/** Clients that register themselves, RFC 7591 and RFC 7592, and the tokens that let them. */
import { SELF_SET } from '../core/client-metadata.ts';
import { NEW_TOKEN } from '../http/registration-tokens.ts';
import { CLIENT_EXAMPLE, clientMembers, METADATA_MEMBERS, OTHER_LANGUAGES, patch } from './clients.ts';
import { parameters } from './components.ts';
import {
  type Answers,
  bodyOf,
  count,
  instant,
  json,
  management,
  type Operation,
  type Operations,
  object,
  page,
  ref,
  refusalAnswer,
  refused,
  type Schema,
  text,
} from './operation.ts';

const SELF_MEMBERS = patch(
  Object.fromEntries(SELF_SET.flatMap((name) => (METADATA_MEMBERS[name] ? [[name, METADATA_MEMBERS[name]]] : []))),
);
const { secrets: _, created_at: __, updated_at: ___, ...REGISTERED } = clientMembers;
const REGISTRATION: Readonly<Record<string, Schema>> = {
  ...REGISTERED,
  registration_access_token: text('by which the client manages its record; the same in each answer'),
  registration_client_uri: text('where it does that'),
};

const INITIAL_TOKEN: Readonly<Record<string, Schema>> = {
  id: text('names it', { format: 'uuid' }),
  'name?': text('for people'),
  'scope?': text('what its clients may ask for; absent: any scope but `auth:*`'),
  uses: { type: ['integer', 'null'], minimum: 1, description: 'how many clients it registers; null: any number' },
  used: count('how many it has registered'),
  created_at: instant('when it was made'),
  expires_at: instant('it is good for nothing from then on'),
};

export const registrationSchemas: Readonly<Record<string, Schema>> = {
  ClientRegistration: {
    type: 'object',
    description: 'RFC 7591 §2. Members that are not known, or are an administrator’s to decide, are ignored.',
    properties: SELF_MEMBERS,
    ...OTHER_LANGUAGES,
    additionalProperties: true,
  },
  ClientUpdate: {
    type: 'object',
    description: 'RFC 7592 §2.2: all of the metadata; what is absent gets its default.',
    properties: {
      client_id: text('that of the client'),
      client_secret: text('if it is sent, one of the client’s'),
      ...SELF_MEMBERS,
    },
    required: ['client_id'],
    ...OTHER_LANGUAGES,
    additionalProperties: true,
  },
  RegisteredClient: object(REGISTRATION, { description: 'RFC 7592 §3: a client as it reads itself.', ...OTHER_LANGUAGES }),
  NewRegistration: object(
    {
      ...REGISTRATION,
      client_secret: text('shown in this answer only'),
      client_secret_expires_at: { const: 0, description: '0: it has no end' },
    },
    { description: 'RFC 7591 §3.2.1: a client that was just registered.', ...OTHER_LANGUAGES },
  ),
  InitialTokenOrder: {
    ...bodyOf(NEW_TOKEN, {
      name: 'for people',
      uses: 'how many clients it registers; null: any number, and then `expires_at` is required',
      scope: 'what its clients may ask for: scope tokens with one space between them',
      expires_at: 'a time within 367 days; without it in a week',
    }),
    description: 'What a new initial access token is to be like.',
  },
  InitialToken: object(INITIAL_TOKEN, { description: 'An initial access token, without its value.' }),
  NewInitialToken: object(
    { ...INITIAL_TOKEN, initial_access_token: text('shown in this answer only') },
    { description: 'An initial access token that was just made.' },
  ),
};

const REGISTER_EXAMPLE = { client_name: 'Job 17', scope: 'jobs:read' };
const { secrets: _secrets, created_at: _created, updated_at: _updated, ...OWN_EXAMPLE } = CLIENT_EXAMPLE;
const REGISTERED_EXAMPLE = {
  ...OWN_EXAMPLE,
  registration_access_token: 'rat_1yZWr0Xs4mC8f0Vb2c7aJk3oPq5tUv9xYz6nLhGd1Ee0aBc2D',
  registration_client_uri: 'https://auth.example.com/register/billing',
};
const TOKEN_EXAMPLE = {
  id: 'b4da23e4-317a-4cc4-a846-904f4f734051',
  name: 'build farm',
  scope: 'jobs:read jobs:write',
  uses: 20,
  used: 0,
  created_at: '2026-11-25T20:32:31.195Z',
  expires_at: '2026-12-02T20:32:31.000Z',
};

const metadataRefused = refusalAnswer('oauth', 400, [
  ...['invalid_request', 'invalid_client_metadata', 'invalid_redirect_uri', 'unapproved_software_statement'],
]);
const tokenRefused = { 401: refusalAnswer('oauth', 401, ['invalid_token']) };
const disabled = { 403: refusalAnswer('oauth', 403, ['insufficient_scope']) };

/** By its registration access token. */
function own({ responses, ...operation }: Omit<Operation, 'tags' | 'security'>): Operation {
  const refusals: Answers = { ...refused('oauth', [400, 503]), ...tokenRefused, ...disabled };
  return { ...operation, tags: ['Registration'], security: [{ registration: [] }], responses: { ...refusals, ...responses } };
}

export const registrationOperations: Operations = {
  'POST /register': {
    operationId: 'registerClient',
    tags: ['Registration'],
    summary: 'Register a client',
    description:
      'RFC 7591. With an initial access token, or without one where `AUTH_REGISTRATION` is `open`: then 1,000 an hour and source.',
    security: [{}, { registration: [] }],
    requestBody: { required: true, content: json(ref('ClientRegistration'), { 'a client': REGISTER_EXAMPLE, 'all by default': {} }) },
    responses: {
      201: {
        description: 'The client.',
        content: json(ref('NewRegistration'), {
          registered: { ...REGISTERED_EXAMPLE, client_secret: '0qkqLphbME5fr44Ia4MoMyPwKq9z_G4eQ5DIGUnyrro', client_secret_expires_at: 0 },
        }),
      },
      ...refused('oauth', [413, 415, 429, 503]),
      400: metadataRefused,
      ...tokenRefused,
    },
  },
  'GET /register/:client_id': own({
    operationId: 'getRegistration',
    summary: 'Read one’s own record',
    description: 'RFC 7592 §2.1. Not the secret, of which only a hash is kept.',
    responses: { 200: { description: 'The client.', content: json(ref('RegisteredClient'), { 'a client': REGISTERED_EXAMPLE }) } },
  }),
  'PUT /register/:client_id': own({
    operationId: 'replaceRegistration',
    summary: 'Replace one’s own metadata',
    description: 'RFC 7592 §2.2. Nothing is gained by it that the registration did not allow.',
    requestBody: { required: true, content: json(ref('ClientUpdate'), { 'another name': { client_id: 'billing', ...REGISTER_EXAMPLE } }) },
    responses: {
      200: { description: 'The client.', content: json(ref('RegisteredClient'), { 'a client': REGISTERED_EXAMPLE }) },
      ...refused('oauth', [413, 415, 429]),
      400: metadataRefused,
    },
  }),
  'DELETE /register/:client_id': own({
    operationId: 'deleteRegistration',
    summary: 'Delete oneself, and end all one’s tokens',
    description: 'RFC 7592 §2.3.',
    responses: { 204: { description: 'It is gone, and so is its registration access token.' } },
  }),
  'GET /registration-tokens': management({
    operationId: 'listInitialTokens',
    tags: ['Registration'],
    summary: 'List initial access tokens',
    description: 'Until a week after their end.',
    scopes: ['auth:clients:read', 'auth:clients'],
    parameters: parameters('limit', 'cursor'),
    answers: { 200: { description: 'A page.', content: json(page(ref('InitialToken')), { 'a page': { items: [TOKEN_EXAMPLE] } }) } },
  }),
  'POST /registration-tokens': management({
    operationId: 'createInitialToken',
    tags: ['Registration'],
    summary: 'Make an initial access token',
    scopes: ['auth:clients'],
    requestBody: {
      required: false,
      content: json(ref('InitialTokenOrder'), {
        'for twenty clients': { name: 'build farm', uses: 20, scope: 'jobs:read jobs:write' },
        'for one': {},
      }),
    },
    answers: {
      201: {
        description: 'The token.',
        content: json(ref('NewInitialToken'), {
          made: { ...TOKEN_EXAMPLE, initial_access_token: 'irt_1yZWr0Xs4mC8f0Vb2c7aJk3oPq5tUv9xYz6nLhGd1Ee0aBc2D' },
        }),
      },
    },
  }),
  'DELETE /registration-tokens/:id': management({
    operationId: 'deleteInitialToken',
    tags: ['Registration'],
    summary: 'End an initial access token',
    description: 'Clients that it has registered stay.',
    scopes: ['auth:clients'],
    answers: { 204: { description: 'It is good for nothing any more.' } },
    refusals: [404],
  }),
};

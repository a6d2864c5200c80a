/** What operators ask for: keys, audit, health, metrics, and this description. */
import { SIGNING_ALGS } from '../core/signing-key.ts';
import { ROTATION } from '../http/keys.ts';
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
  open,
  page,
  query,
  ref,
  refused,
  type Schema,
  text,
} from './operation.ts';

export const operatorSchemas: Readonly<Record<string, Schema>> = {
  Key: object(
    {
      kid: text('RFC 7638 thumbprint'),
      alg: { enum: SIGNING_ALGS },
      state: { enum: ['next', 'active', 'retiring', 'gone'] },
      created_at: instant('published since then'),
      active_from: instant('it signs from then on'),
      'retiring_from?': instant('the next one signs from then on'),
      'gone_at?': instant('nobody needs it any more'),
    },
    { description: 'A signing key and its schedule; its public part is at `/jwks`.' },
  ),
  Rotation: {
    ...bodyOf(ROTATION, {
      activate_at: 'when the key is to sign: a time within a year, after verifiers can know it, or `now`',
      compromised: '`true`: the keys have leaked; all of them end now, and what they signed ends with them',
    }),
    description: 'Which rotation; without anything the next key is announced.',
  },
  AuditEntry: object(
    {
      id: count('increases; who has seen one can see all before it'),
      at: instant('by PostgreSQL’s clock'),
      action: text('what was done: `client.update`'),
      actor: object(
        {
          'client_id?': text('whose token it was'),
          'secret_id?': text('the secret that it was got by'),
          'address?': text('where it came from'),
        },
        { description: 'empty: the server' },
      ),
      target: text('what it was done to: a client id, the id of a key, a route'),
      detail: { type: 'object', additionalProperties: true, description: 'what changed, without secrets and values of claims' },
      'request_id?': text('names the request'),
    },
    { description: 'Who did what.' },
  ),
};

const KEY = {
  kid: 'mRt_vHdVqdIQTKASsXEycbILhaxhu9ZSsaNRfdG93gA',
  alg: 'ES256',
  state: 'next',
  created_at: '2026-11-24T08:01:05.280Z',
  active_from: '2026-11-25T08:01:05.000Z',
};
const ENTRY = {
  id: 4,
  at: '2026-11-25T18:09:53.370Z',
  action: 'client.update',
  actor: { client_id: 'admin', address: '127.0.0.1' },
  target: 'billing',
  detail: { changes: { scope: { from: 'invoices:read invoices:write', to: 'invoices:read' } } },
  request_id: '465b0844-6a0a-4115-95d8-905cd099b577',
};

export const operatorOperations: Operations = {
  'GET /keys': management({
    operationId: 'listKeys',
    tags: ['Keys'],
    summary: 'See the signing keys and their schedule',
    scopes: ['auth:keys'],
    answers: {
      200: {
        description: 'All of them: the one that signs, the next one, those of before.',
        content: json(object({ items: { type: 'array', items: ref('Key') } }), { 'one key': { items: [KEY] } }),
      },
    },
  }),
  'POST /keys/rotate': management({
    operationId: 'rotateKeys',
    tags: ['Keys'],
    summary: 'Announce the next signing key, move it, or end all keys',
    description: 'A key is published before it signs. After a compromise all keys and their JWTs end at once.',
    scopes: ['auth:keys'],
    requestBody: {
      required: false,
      content: json(ref('Rotation'), {
        'as planned': {},
        'the keys have leaked': { compromised: true },
      }),
    },
    answers: {
      200: { description: 'It was announced before; it may have been moved.', content: json(ref('Key'), { 'the next key': KEY }) },
      201: { description: 'It was made.', content: json(ref('Key'), { 'the next key': KEY }) },
    },
  }),
  'GET /audit': management({
    operationId: 'readAudit',
    tags: ['Audit'],
    summary: 'Read the audit, newest first',
    description:
      'All that is given has to hold; a parameter that is unknown or repeated is refused. `after` and `cursor` exclude each other.',
    scopes: ['auth:audit'],
    parameters: [
      query('actor', 'A client id.'),
      query('action', 'An action, or the beginning of some: `client.*`.', {
        type: 'string',
        pattern: '^[a-z_]+(\\.[a-z_]+)*(\\.\\*)?$',
        maxLength: 100,
      }),
      query('target', 'A client id, the id of a key, or a route.', { type: 'string', minLength: 1, maxLength: 256 }),
      query('since', 'From then on.', { type: 'string', format: 'date-time' }),
      query('until', 'Before then.', { type: 'string', format: 'date-time' }),
      ...parameters('limit', 'cursor'),
      query('after', 'An id, or 0: what came after it, oldest first.', { type: 'string', pattern: '^[0-9]{1,15}$' }),
    ],
    answers: {
      200: { description: 'A page.', content: json(page(ref('AuditEntry')), { 'a page': { items: [ENTRY], next_cursor: 'NA' } }) },
    },
  }),
  'GET /openapi.json': open({
    operationId: 'getDescription',
    tags: ['Service'],
    summary: 'This description',
    parameters: parameters('If-None-Match'),
    answers: description('application/json', { type: 'object', additionalProperties: true }),
  }),
  'GET /docs': open({
    operationId: 'getPages',
    tags: ['Service'],
    summary: 'This description, to be read',
    parameters: parameters('If-None-Match'),
    answers: description('text/html', { type: 'string' }),
  }),
};

const READY = { status: 'ready', fresh: true, freshness_age_ms: 12, applied_seq: 42, lag: 0, etcd: 'connected', etcd_version_ok: true };

/** At the listener's root. */
export const rootOperations: Operations = {
  'GET /health/live': open({
    operationId: 'isLive',
    tags: ['Service'],
    summary: 'Whether the process answers',
    answers: { 200: { description: 'It does.', content: json(object({ status: { const: 'live' } }), { live: { status: 'live' } }) } },
  }),
  'GET /health/ready': open({
    operationId: 'isReady',
    tags: ['Service'],
    summary: 'Whether the node can answer requests, and how fresh it is',
    answers: {
      200: {
        description: 'It can.',
        content: json(
          object({
            status: { const: 'ready' },
            fresh: { type: 'boolean', description: 'it may answer from memory' },
            freshness_age_ms: count('how old what it answers from is'),
            applied_seq: count('position in the change log'),
            lag: count('what it knows to be behind'),
            etcd: { enum: ['none', 'connecting', 'connected', 'unreachable', 'refused'] },
            'etcd_version_ok?': { type: 'boolean', description: 'known to be good' },
          }),
          { ready: READY },
        ),
      },
      ...refused('oauth', [503]),
    },
  }),
  'GET /metrics': open({
    operationId: 'getMetrics',
    tags: ['Service'],
    summary: 'Metrics for Prometheus',
    answers: {
      200: {
        description: 'Text format 0.0.4.',
        content: json({ type: 'string' }, { lines: '# TYPE auth_http_requests_total counter\n' }, 'text/plain'),
      },
    },
  }),
};

function description(mediaType: string, schema: Schema): Answers {
  return {
    200: {
      description: 'The same for as long as the server runs.',
      headers: headers('ETag', 'Cache-Control'),
      content: { [mediaType]: { schema } },
    },
    304: { description: 'It is as it was.', headers: headers('ETag', 'Cache-Control') },
  };
}

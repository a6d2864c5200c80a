/** `/revocations`: bulk revocation and the feed. */
import { ORDER } from '../core/revocations.ts';
import { WAIT_SECONDS_MAX } from '../http/revocations.ts';
import { parameters } from './components.ts';
import { bodyOf, count, instant, json, management, type Operations, object, query, ref, type Schema, text } from './operation.ts';

const MEANINGS: Readonly<Record<string, string>> = {
  token: 'this token, of whichever client',
  token_hash: 'the token with this SHA-256, base64url without padding',
  client_id: 'all tokens of this client',
  sub: 'all tokens with this `sub`',
  all: 'all tokens of everybody, with `issued_before`',
  issued_before: 'with `client_id`, `sub` or `all`: only those whose `iat` is less; epoch seconds, not in the future',
  reason: 'for the audit and the feed',
  dry_run: 'count what would end, and end nothing',
};
const { properties, ...order } = bodyOf(ORDER, MEANINGS);
/** Known only to be refused. */
const { grant_id: _, ...members } = properties;
const byToken = { not: { required: ['issued_before'] } };

const FEED: Readonly<Record<string, Schema>> = {
  cursor: text('the place of the entry, for `after`'),
  'reason?': text('why'),
  revoked_at: instant('when'),
  exp: count('when nothing that it ends is alive any more, epoch seconds'),
};
const issuedBefore = { issued_before: count('tokens whose `iat` is less, epoch seconds') };

export const revocationSchemas: Readonly<Record<string, Schema>> = {
  RevocationOrder: {
    ...order,
    description: 'Exactly one of `token`, `token_hash`, `client_id`, `sub`, `all`.',
    properties: members,
    oneOf: [
      { required: ['token'], ...byToken },
      { required: ['token_hash'], ...byToken },
      { required: ['client_id'] },
      { required: ['sub'] },
      { required: ['all', 'issued_before'] },
    ],
  },
  Revocation: {
    description: 'What has ended. A token matches by what the entry names.',
    oneOf: [
      object({ token_hash: text('its SHA-256, base64url'), 'jti?': text('its `jti`'), ...FEED }, { title: 'a token' }),
      object({ client_id: text('its `client_id`'), ...issuedBefore, ...FEED }, { title: 'the tokens of a client' }),
      object({ sub: text('its `sub`'), ...issuedBefore, ...FEED }, { title: 'the tokens of a subject' }),
      object({ all: { const: true }, ...issuedBefore, ...FEED }, { title: 'all tokens' }),
    ],
  },
};

const ENTRY = {
  cursor: '12-7c1f9d60',
  client_id: 'billing',
  issued_before: 1800000002,
  reason: 'found in a log',
  revoked_at: '2027-01-15T08:00:00.412Z',
  exp: 1831708801,
};

export const revocationOperations: Operations = {
  'POST /revocations': management({
    operationId: 'endTokens',
    tags: ['Revocations'],
    summary: 'End a token, or all tokens of a client, of a subject, of everybody',
    description:
      'One row, whatever the number of tokens. 201 means durable. After a 503 the outcome is unknown: repeat it with the same `Idempotency-Key`.',
    scopes: ['auth:revocations'],
    parameters: parameters('Idempotency-Key'),
    requestBody: {
      required: true,
      content: json(ref('RevocationOrder'), {
        'all tokens of a client': { client_id: 'billing', reason: 'found in a log' },
        'how many that would be': { client_id: 'billing', dry_run: true },
        'a token by its hash': { token_hash: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg' },
      }),
    },
    answers: {
      200: {
        description: 'There was nothing to end, or it was a dry run.',
        content: json(
          {
            oneOf: [
              { title: 'nothing to end', type: 'object', maxProperties: 0 },
              object({ dry_run: { const: true }, tokens: count('how many would end') }, { title: 'a dry run' }),
            ],
          },
          { 'a dry run': { dry_run: true, tokens: 1 }, 'nothing to end': {} },
        ),
      },
      201: { description: 'Ended, now or before.', content: json(ref('Revocation'), { 'the entry of the feed': ENTRY }) },
    },
    refusals: [404, 422],
  }),
  'GET /revocations': management({
    operationId: 'followRevocations',
    tags: ['Revocations'],
    summary: 'Read the feed of what has ended',
    description:
      'In the order of the commits: a page, a long poll with `wait`, or with `Accept: text/event-stream` a stream that goes on for ever.',
    scopes: ['auth:revocations:read', 'auth:revocations'],
    parameters: [
      query('after', 'A cursor of any node; without it from the beginning. `latest`: only what is still to come.', {
        type: 'string',
        pattern: '^([0-9]{1,15}-[0-9a-f]{8}|latest)$',
      }),
      ...parameters('limit'),
      query('wait', 'Seconds for which an empty page waits for something to end.', {
        type: 'integer',
        minimum: 0,
        maximum: WAIT_SECONDS_MAX,
        default: 0,
      }),
      { name: 'Last-Event-ID', in: 'header', description: 'For a stream: the last cursor that was seen.', schema: { type: 'string' } },
    ],
    answers: {
      200: {
        description: 'A page, or a stream with the cursor as `id` and the entry as `data` of each event.',
        content: {
          ...json(
            object({
              items: { type: 'array', items: ref('Revocation') },
              cursor: text('where the page ends, for `after`'),
              'next_cursor?': text('the same, if more follows at once'),
            }),
            { 'a page': { items: [ENTRY], cursor: '12-7c1f9d60' } },
          ),
          ...json({ type: 'string' }, { event: `id: 12-7c1f9d60\ndata: ${JSON.stringify(ENTRY)}\n\n` }, 'text/event-stream'),
        },
      },
    },
    refusals: [410],
  }),
};

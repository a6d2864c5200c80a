/** What of a refusal reaches the audit, how much of it, and that no answer waits for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { BearerError, OAuthError, Problem } from '../../src/core/errors.ts';
import { type AuditLog, type DeniedPath, type Origin, Unavailable } from '../../src/core/ports.ts';
import type { Call } from '../../src/http/app.ts';
import { Denials } from '../../src/http/denials.ts';
import { HttpError } from '../../src/http/errors.ts';
import { NOW } from '../contracts/stores.ts';
import { memoryStores } from '../support/memory-stores.ts';

const ROUTE = { method: 'GET', path: '/clients/:client_id' } as const;
const INVALID = new BearerError('invalid_token', 'x');

function callFrom(address: string, now = NOW): Call {
  const request = new Request('http://localhost/clients/billing');
  return { request, authorization: 'Bearer junk', address, requestId: 'r', now, param: () => 'billing' };
}

function denials(write: () => Promise<void> = async () => undefined) {
  const rows: { readonly origin: Origin; readonly path: DeniedPath; readonly detail: object }[] = [];
  const audit: AuditLog = {
    read: async () => [],
    async denied(origin, path, detail) {
      rows.push({ origin, path, detail });
      await write();
    },
  };
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line) => void lines.push(line) });
  return { rows, lines, denials: new Denials({ audit, tokens: memoryStores().tokens, log }) };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

for (const [what, error] of [
  ['no token', new BearerError(undefined, 'x')],
  ['a malformed header', new BearerError('invalid_request', 'x')],
  ['a body that is wrong', new Problem('invalid_request', 'x')],
  ['what is not there', new Problem('not_found', 'x')],
  ['a method that is not allowed', new HttpError(405, 'x')],
  ['an outage', new Unavailable('x')],
  ['a client that did not authenticate', new OAuthError('invalid_client', 'x')],
  ['a bug', new Error('x')],
] as const) {
  test(`${what} is no denied attempt`, async () => {
    const { denials: recorder, rows } = denials();
    recorder.note(error, callFrom('192.0.2.1'), ROUTE);
    await settled();
    assert.deepEqual([rows, recorder.unrecorded], [[], { limit: 0, outage: 0 }]);
  });
}

test('a source has ten rows a minute, all together a hundred; the rest is counted, and the next minute begins anew', async () => {
  const { denials: recorder, rows } = denials();
  for (let n = 0; n < 15; n++) recorder.note(INVALID, callFrom('192.0.2.1'), ROUTE);
  await settled();
  assert.deepEqual([rows.length, recorder.unrecorded.limit], [10, 5]);
  for (let n = 0; n < 200; n++) recorder.note(INVALID, callFrom(`2001:db8::${n}`, NOW + 59), ROUTE);
  await settled();
  assert.deepEqual([rows.length, recorder.unrecorded.limit], [100, 115]);
  recorder.note(INVALID, callFrom('192.0.2.1', NOW + 60), ROUTE);
  await settled();
  assert.equal(rows.length, 101);
});

test('an outage is counted, and is nobody else’s matter; a bug is logged', async () => {
  const away = denials(() => Promise.reject(new Unavailable('PostgreSQL is away')));
  away.denials.note(INVALID, callFrom('192.0.2.1'), ROUTE);
  await settled();
  assert.deepEqual([away.denials.unrecorded, away.lines], [{ limit: 0, outage: 1 }, []]);
  const broken = denials(() => Promise.reject(new Error('broken')));
  broken.denials.note(INVALID, callFrom('192.0.2.1'), ROUTE);
  await settled();
  assert.deepEqual([broken.denials.unrecorded.outage, broken.lines.length], [1, 1]);
  assert.doesNotMatch(broken.lines.join(''), /junk/);
});

test('a store that never answers holds nobody up', async () => {
  const { denials: recorder, rows } = denials(() => new Promise(() => undefined));
  for (let n = 0; n < 20; n++) assert.equal(recorder.note(INVALID, callFrom('192.0.2.1'), ROUTE), undefined);
  await settled();
  assert.equal(rows.length, 10);
});

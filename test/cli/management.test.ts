import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { CommandError } from '../../src/cli/exit.ts';
import { changeClients, readClients } from '../../src/cli/management.ts';
import type { Target } from '../../src/cli/target.ts';

interface Seen {
  readonly path: string;
  readonly authorization: string;
  readonly form: Readonly<Record<string, string>>;
}

/** Stands in for a server of any kind, and keeps what it was told. */
let server: Server;
let target: Target;
let seen: Seen[] = [];
let respond: (seen: Seen, response: ServerResponse) => void;

before(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const authorization = request.headers.authorization ?? '';
      const entry = { path: request.url ?? '', authorization, form: Object.fromEntries(new URLSearchParams(body)) };
      seen.push(entry);
      respond(entry, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  target = { url, clientId: 'a b', clientSecret: 'ü+%: /~', timeoutMs: 2_000 };
});
beforeEach(() => {
  seen = [];
  respond = ({ path }, response) => reply(response, 200, path === '/token' ? { access_token: 'at_1' } : { items: [] });
});
after(() => {
  server.closeAllConnections();
  server.close();
});

function reply(response: ServerResponse, status: number, body: object | string): void {
  response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
}

const list = () => readClients(target, (get) => get('/clients'));
const create = () => changeClients(target, { method: 'POST', path: '/clients', json: {} }, {});

async function refusalOf(work: Promise<unknown>): Promise<CommandError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CommandError);
  assert.doesNotMatch(error.message, /at_1|ü/);
  return error;
}

test('a command gets a token with the scope it needs, uses it and gives it back', async () => {
  await list();
  // RFC 6749 §2.3.1: id and secret are form-encoded first.
  const basic = `Basic ${Buffer.from('a+b:%C3%BC%2B%25%3A+%2F%7E').toString('base64')}`;
  assert.deepEqual(seen, [
    { path: '/token', authorization: basic, form: { grant_type: 'client_credentials', scope: 'auth:clients:read' } },
    { path: '/clients', authorization: 'Bearer at_1', form: {} },
    { path: '/revoke', authorization: basic, form: { token: 'at_1' } },
  ]);
});

const ANSWERS: [why: string, status: number, body: object | string, exitCode: number, says: RegExp][] = [
  [
    'not authorized',
    401,
    { error: 'invalid_client', error_description: 'client authentication failed' },
    77,
    /invalid_client: client auth/,
  ],
  ['a scope that the client has not', 400, { error: 'invalid_scope' }, 77, /scope that this needs: auth:clients$/],
  ['a public client', 400, { error: 'unauthorized_client' }, 77, /scope that this needs/],
  ['too many failures', 429, { error: 'slow_down', error_description: 'too many failed attempts' }, 1, /^slow_down: too many/],
  ['no such path', 404, { error: 'not_found' }, 1, /^not_found; is http:\S+ the issuer's URL\?$/],
  ['a store that does not answer', 503, { error: 'temporarily_unavailable' }, 69, /cannot do it now: temporarily_unavailable$/],
  ['a gateway', 502, '<h1>\u001b[2J</h1>', 69, /cannot do it now: HTTP 502$/],
  ['a page', 200, '<h1>', 78, /is that the issuer's URL/],
  ['an answer without a token', 200, {}, 78, /does not answer as a token endpoint/],
  ['a refusal that would move the cursor', 418, { error: '\u001b[2Jx' }, 1, /^\ufffd\[2Jx$/],
];
for (const [why, status, body, exitCode, says] of ANSWERS) {
  test(`exit code ${exitCode} when /token answers ${status}: ${why}`, async () => {
    respond = (_, response) => reply(response, status, body);
    const error = await refusalOf(list());
    assert.equal(error.exitCode, exitCode, error.message);
    assert.match(error.message, says);
  });
}

test('a redirect is not followed: what is sent are secrets', async () => {
  respond = (_, response) => void response.writeHead(307, { location: `${target.url}/elsewhere` }).end();
  assert.equal((await refusalOf(list())).exitCode, 78);
  assert.deepEqual(
    seen.map(({ path }) => path),
    ['/token'],
  );
});

test('a server that does not answer is given up in time', async () => {
  respond = () => undefined;
  target = { ...target, timeoutMs: 100 };
  const { exitCode, message } = await refusalOf(list());
  target = { ...target, timeoutMs: 2_000 };
  assert.deepEqual([exitCode, message], [69, `no answer from ${target.url} within 0.1 s`]);
});

test('a change whose answer is lost may have been done, and the token is given back', async () => {
  respond = ({ path }, response) => (path === '/clients' ? void response.destroy() : reply(response, 200, { access_token: 'at_1' }));
  const { exitCode, message } = await refusalOf(create());
  assert.equal(exitCode, 69);
  assert.match(message, /may have been done all the same/);
  assert.deepEqual(
    seen.map(({ path, form }) => [path, form.token]),
    [
      ['/token', undefined],
      ['/clients', undefined],
      ['/revoke', 'at_1'],
    ],
  );
});

test('a token that cannot be given back is no failure', async () => {
  const answer = respond;
  respond = (entry, response) => (entry.path === '/revoke' ? void response.destroy() : answer(entry, response));
  assert.equal((await list()).status, 200);
});

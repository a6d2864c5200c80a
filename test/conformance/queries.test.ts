/** What an answer costs: statements counted on the wire between the server and PostgreSQL. */
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { assertion, createKeyClient, keyPair, presented } from '../support/assertions.ts';
import { type Answer, createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

interface Counter {
  readonly port: number;
  /** statements that were executed so far */
  count(): number;
  close(): void;
}

/** A TCP port in front of PostgreSQL's Unix socket that counts the messages `Execute` and `Query` of the frontend protocol. */
async function countingProxy(path: string): Promise<Counter> {
  let statements = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(path);
    let waiting = Buffer.alloc(0);
    let isBackground = false;
    let typeBytes = 0; // the first message, the start-up, has no type
    near.on('data', (bytes) => {
      far.write(bytes);
      waiting = Buffer.concat([waiting, bytes]);
      while (waiting.length >= typeBytes + 4 && waiting.length >= typeBytes + waiting.readInt32BE(typeBytes)) {
        const type = typeBytes === 1 ? String.fromCharCode(waiting[0] ?? 0) : '';
        // Bind says which prepared statement the next Execute means. The change log is read, memory audited, and the use of secrets written, whoever asks
        // what; and what is refused goes to the audit after the answer.
        if (type === 'B')
          isBackground = /^(read-changes|audit-access-token|write-denied|write-secret-uses)\0/.test(waiting.subarray(6, 40).toString());
        if ((type === 'E' && !isBackground) || type === 'Q') statements++;
        waiting = waiting.subarray(typeBytes + waiting.readInt32BE(typeBytes));
        typeBytes = 1;
      }
    });
    far.on('data', (bytes) => near.write(bytes));
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    count: () => statements,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

let database: TestDatabase;
let proxy: Counter;
let server: InProcessServer;
let client: Credentials;
let jwtClient: Credentials;
before(async () => {
  database = await createDatabase();
  const { host, port, user } = database.connection;
  proxy = await countingProxy(`${host}/.s.PGSQL.${port}`);
  server = await openServer({ DATABASE_URL: `postgres://${user}@127.0.0.1:${proxy.port}/${database.connection.database}` });
  client = await createClient(server, { scope: 'read' });
  jwtClient = await createClient(server, { scope: 'read', access_token_format: 'jwt' });
});
after(async () => {
  await server.stop();
  proxy.close();
  await database.drop();
});

const GRANT = 'grant_type=client_credentials';
const FORM_ENDPOINTS = ['/token', '/introspect', '/revoke'];

async function costOf(work: () => Promise<Answer>): Promise<{ readonly answer: Answer; readonly statements: number }> {
  const earlier = proxy.count();
  const answer = await work();
  return { answer, statements: proxy.count() - earlier };
}

test('A04 RFC 6749 §10.10: every refused client gets the same status, headers and body, for the same number of statements', async () => {
  const [disabled, expired, open] = await Promise.all([
    createClient(server, { disabled: true }),
    createClient(server),
    createClient(server, { token_endpoint_auth_method: 'none' }),
  ]);
  await database.query("update client_secret set expires_at = now() - interval '1 s' where client_id = $1", [expired.clientId]);
  const wrong = 'A'.repeat(43);
  const refused: readonly Credentials[] = [
    { clientId: 'nobody', clientSecret: wrong },
    { clientId: 'no id\0at all', clientSecret: wrong },
    { clientId: 'n'.repeat(5_000), clientSecret: wrong },
    { ...client, clientSecret: wrong },
    { ...client, clientSecret: `${client.clientSecret}A` },
    { ...client, clientSecret: client.clientSecret.slice(0, -1) },
    { ...client, clientSecret: '' },
    { ...open, clientSecret: wrong },
    disabled,
    expired,
  ];
  for (const path of FORM_ENDPOINTS) {
    for (const inBody of [false, true]) {
      const seen = new Set<string>();
      for (const { clientId, clientSecret } of refused) {
        if (inBody && clientSecret === '') continue; // that is no secret at all
        const form = `${GRANT}&token=x${inBody ? `&client_id=${encodeURIComponent(clientId)}&client_secret=${clientSecret}` : ''}`;
        const { answer, statements } = await costOf(() =>
          postForm(server.url + path, form, inBody ? undefined : { clientId, clientSecret }),
        );
        assert.equal(answer.status, 401);
        const headers = [...answer.headers].filter(([name]) => name !== 'date');
        seen.add(JSON.stringify([answer.status, headers, answer.text, statements]));
      }
      assert.equal(seen.size, 1, [...seen].join('\n'));
    }
  }
});

test('A09 RFC 7523 §3: every refused assertion gets the same answer for the same number of statements; one that is wrong by itself costs none', async () => {
  const issuer = server.url.replace('127.0.0.1', 'localhost');
  const [key, other] = [keyPair(), keyPair()];
  const id = await createKeyClient(server, key);
  const disabled = await createKeyClient(server, key, { disabled: true });
  const ask = (path: string, jwt: string) =>
    costOf(() => postForm(server.url + path, presented(jwt, { grant_type: 'client_credentials', token: 'x' })));
  for (const path of FORM_ENDPOINTS) {
    const seen = new Set<string>();
    for (const jwt of [
      await assertion('nobody', issuer, key),
      await assertion('no id\0at all', issuer, key),
      await assertion(disabled, issuer, key),
      await assertion(client.clientId, issuer, key),
      await assertion(id, issuer, other),
      await assertion(id, issuer, { ...other, kid: key.kid }),
    ]) {
      const { answer, statements } = await ask(path, jwt);
      const headers = [...answer.headers].filter(([name]) => name !== 'date');
      seen.add(JSON.stringify([answer.status, headers, answer.text, statements]));
    }
    assert.equal(seen.size, 1, [...seen].join('\n'));
    for (const claims of [{ exp: 1 }, { aud: 'x' }, { iss: 'x' }, { jti: undefined }])
      assert.equal((await ask(path, await assertion(id, issuer, key, { claims }))).statements, 0);
  }
  const again = await assertion(id, issuer, key);
  await ask('/introspect', again); // from here on it is in memory
  assert.deepEqual((await ask('/introspect', await assertion(id, issuer, key))).statements, 1, 'its one use');
  assert.deepEqual((await ask('/introspect', again)).statements, 1);
});

test('G14 what is refused before the client is known costs no statement', async () => {
  const refusals: readonly (() => Promise<Answer>)[] = FORM_ENDPOINTS.flatMap((path) => [
    () => postForm(server.url + path, `${GRANT}&scope=a&scope=b`, client),
    () => postForm(server.url + path, `${GRANT}&x=%zz`, client),
    () => postForm(server.url + path, `${GRANT}&client_secret=x`, client),
    () => postForm(`${server.url}${path}?token=x`, GRANT, client),
    () => postForm(server.url + path, GRANT),
    () => postForm(server.url + path, GRANT, undefined, { authorization: 'Basic !' }),
    () => postForm(server.url + path, GRANT, client, { 'content-type': 'text/plain' }),
  ]);
  for (const refusal of refusals) {
    const { answer, statements } = await costOf(refusal);
    assert.ok(answer.status === 400 || answer.status === 401);
    assert.equal(statements, 0);
  }
});

test('I10 junk costs no look-up, and neither does what this node has issued; one statement for what could be a token', async () => {
  for (const issuer of [client, jwtClient]) {
    const live = await issueToken(server.url, issuer);
    const last = live.endsWith('A') ? 'B' : 'A';
    const junk = ['x', 'at_', live.slice(0, 20), ` ${live}`, `${live}\n`, 'a.b.c', `${live}.x`, 'x'.repeat(12_000), 'at_ü'];
    if (issuer === client) junk.push(live.slice(0, -1) + last, live.slice(0, -1), live.replace('at_', 'AT_'), live.toLowerCase());
    for (const path of ['/introspect', '/revoke']) {
      for (const token of junk) {
        const { answer, statements } = await costOf(() => postForm(server.url + path, { token }, issuer));
        assert.deepEqual([answer.status, answer.text, statements], [200, path === '/revoke' ? '{}' : '{"active":false}', 0], token);
      }
    }
    assert.equal((await costOf(() => postForm(`${server.url}/introspect`, { token: live }, issuer))).statements, 0);
  }
  const unknown = `${'a'.repeat(40)}.${'b'.repeat(40)}.${'c'.repeat(86)}`;
  const { answer, statements } = await costOf(() => postForm(`${server.url}/introspect`, { token: unknown }, client));
  assert.deepEqual([answer.text, statements], ['{"active":false}', 1], 'the shape of a JWT has to be looked up');
});

test('M07 a bearer token that cannot be one costs no statement', async () => {
  for (const junk of ['x', 'at_junk', 'a.b.c', `at_${'A'.repeat(49)}`]) {
    for (const [method, path] of [
      ['GET', '/clients'],
      ['POST', '/clients'],
      ['DELETE', '/clients/admin'],
    ] as const) {
      const { answer, statements } = await costOf(() => sendJson(method, server.url + path, junk));
      assert.deepEqual([answer.status, statements], [401, 0]);
    }
    const asked = () => postForm(`${server.url}/introspect`, 'token=x', undefined, { authorization: `Bearer ${junk}` });
    assert.equal((await costOf(asked)).statements, 0);
  }
});

test('G13 a throttled attempt costs no statement, whatever its secret', async () => {
  const target = await createClient(server);
  const attempt = (clientSecret: string) => postForm(`${server.url}/token`, GRANT, { ...target, clientSecret });
  await Promise.all(Array.from({ length: 100 }, () => attempt('wrong')));
  for (const secret of ['wrong', target.clientSecret]) {
    const { answer, statements } = await costOf(() => attempt(secret));
    assert.deepEqual([answer.status, answer.body.error, statements], [429, 'slow_down', 0]);
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
  }
});

/** Three nodes on one PostgreSQL, under load and pauses: the promise of docs/coherence.md, checked from outside (K1, K2, K4 of it). */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createClient, issueToken, postForm, sendJson } from '../support/client.ts';
import {
  ADMIN,
  ENCRYPTION_KEY,
  type FaultyPostgres,
  faultyPostgres,
  launch,
  type Program,
  scratch,
  sharedCleanup,
} from '../support/faults.ts';
import { type Credentials, until } from '../support/server.ts';

/** The default of AUTH_MAX_STALENESS_MS, 1 % for clocks that run at different rates. */
const STALENESS_MS_MAX = 1_010;
const LOAD_MS = 6_000;
const ANSWERS_MIN = 200;
const REVOCATIONS_MIN = 20;

const t = sharedCleanup();
let folder: string;
let postgres: FaultyPostgres;
let nodes: readonly Program[];
let client: Credentials;

before(async () => {
  folder = await scratch(t);
  postgres = await faultyPostgres(t, folder);
  nodes = await Promise.all(Array.from({ length: 3 }, () => startNode()));
  client = await createClient({ url: urlOf(0), admin: ADMIN });
});
after(() => t.run());

async function startNode(env: Readonly<Record<string, string>> = {}): Promise<Program> {
  const common = { DATABASE_URL: postgres.url, AUTH_ENCRYPTION_KEY: ENCRYPTION_KEY, AUTH_ADMIN_CLIENT_SECRET: ADMIN.clientSecret };
  const node = await launch(t, { folder, env: { ...common, AUTH_ISSUER: 'http://localhost:8080', ...env } });
  await node.ready();
  return node;
}

const urlOf = (node: number): string => nodes[node]?.url ?? '';
const ask = (url: string, token: string, headers = {}) => postForm(`${url}/introspect`, { token }, client, headers);

interface Sample {
  readonly token: string;
  /** when it was sent, `performance.now()` */
  readonly at: number;
  readonly active: boolean;
  readonly strict: boolean;
}

/** Issues, revokes a while later on another node, and asks all nodes all the time. */
async function load(disturb: () => Promise<void>) {
  const samples: Sample[] = [];
  const live: string[] = [];
  const revokedAt = new Map<string, number>();
  const unknown = new Set<string>();
  let isOver = false;
  const worker = async (work: () => Promise<void>) => {
    while (!isOver) await work();
  };
  const issue = async () => {
    const token = await issueToken(urlOf(randomInt(2)), client);
    live.push(token);
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const revoke = async () => {
    await new Promise((resolve) => setTimeout(resolve, 40));
    const token = live.length > 10 ? live.splice(randomInt(live.length), 1)[0] : undefined;
    if (token === undefined) return;
    unknown.add(token);
    const { status } = await postForm(`${urlOf(randomInt(2))}/revoke`, { token }, client);
    if (status !== 200) return;
    revokedAt.set(token, performance.now());
    unknown.delete(token);
  };
  const introspect = async () => {
    const all = [...live.slice(-5), ...[...revokedAt.keys()].slice(-10)];
    const token = all[randomInt(Math.max(all.length, 1))];
    if (token === undefined) return void (await new Promise((resolve) => setTimeout(resolve, 20)));
    const strict = randomInt(3) === 0;
    const at = performance.now();
    const { status, body } = await ask(urlOf(randomInt(3)), token, strict ? { prefer: 'consistency=strict' } : {});
    assert.ok(status === 200 || status === 503, String(status));
    if (status === 200) samples.push({ token, at, strict, active: body.active });
  };
  const workers = [issue, revoke, introspect, introspect, introspect, introspect].map(worker);
  await disturb();
  // A busy machine takes longer to have enough to be judged.
  await until(() => samples.length > ANSWERS_MIN && revokedAt.size > REVOCATIONS_MIN, 60_000);
  isOver = true;
  await Promise.all(workers);
  return { samples, live, revokedAt, unknown };
}

/** K1: after the answer to a revocation nothing asked later is active: at once if strict, after the bound otherwise. K4: what lives is not inactive. */
function check({ samples, live, revokedAt, unknown }: Awaited<ReturnType<typeof load>>): void {
  const late = samples.filter(({ token, at, active, strict }) => {
    const end = revokedAt.get(token);
    return end !== undefined && active && at > end + (strict ? 0 : STALENESS_MS_MAX);
  });
  assert.deepEqual(late, []);
  const alive = new Set(live);
  assert.deepEqual(
    samples.filter(({ token, active }) => alive.has(token) && !unknown.has(token) && !active),
    [],
  );
  assert.ok(samples.length > ANSWERS_MIN && revokedAt.size > REVOCATIONS_MIN, `${samples.length} answers, ${revokedAt.size} revocations`);
  assert.ok(samples.some(({ token, active }) => revokedAt.has(token) && !active));
}

test('three nodes under load: after the bound nobody says active, and never who is asked strictly', async () => {
  check(await load(() => new Promise((resolve) => setTimeout(resolve, LOAD_MS))));
});

test('a node is paused again and again while others revoke: its first answer afterwards is not stale', async () => {
  const outcome = await load(async () => {
    for (let pause = 0; pause < 3; pause++) {
      nodes[2]?.child.kill('SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      nodes[2]?.child.kill('SIGCONT');
      await new Promise((resolve) => setTimeout(resolve, 800));
    }
  });
  check(outcome);
});

test('a client that is disabled on one node can do nothing on another after the bound, and its tokens are dead', async () => {
  const victim = await createClient({ url: urlOf(0), admin: ADMIN });
  const tokens = await Promise.all([0, 1, 2].map((node) => issueToken(urlOf(node), victim)));
  for (const token of tokens) assert.equal((await ask(urlOf(2), token)).body.active, false, 'not for this caller');
  const bearer = await issueToken(urlOf(0), ADMIN);
  assert.equal((await sendJson('PATCH', `${urlOf(0)}/clients/${victim.clientId}`, bearer, { disabled: true })).status, 200);
  assert.equal((await postForm(`${urlOf(0)}/token`, 'grant_type=client_credentials', victim)).status, 401, 'here at once');
  await until(async () => (await postForm(`${urlOf(2)}/token`, 'grant_type=client_credentials', victim)).status === 401, STALENESS_MS_MAX);
  const introspector = { prefer: 'consistency=strict' };
  for (const token of tokens) {
    assert.equal((await postForm(`${urlOf(1)}/introspect`, { token }, ADMIN, introspector)).body.active, false);
  }
});

test('a secret that was added on one node is good on another at once', async () => {
  const rotated = await createClient({ url: urlOf(0), admin: ADMIN });
  await issueToken(urlOf(1), rotated); // there the client is in memory now
  const bearer = await issueToken(urlOf(0), ADMIN);
  const { body } = await sendJson('POST', `${urlOf(0)}/clients/${rotated.clientId}/secrets`, bearer, {});
  await issueToken(urlOf(1), { clientId: rotated.clientId, clientSecret: body.client_secret });
});

test('AUTH_CONSISTENCY=strict: what another node has revoked is inactive for whoever asks next', async () => {
  const strict = await startNode({ AUTH_CONSISTENCY: 'strict' });
  for (let round = 0; round < 20; round++) {
    const token = await issueToken(urlOf(0), client);
    assert.equal((await ask(strict.url, token)).body.active, true);
    await postForm(`${urlOf(0)}/revoke`, { token }, client);
    assert.equal((await ask(strict.url, token)).body.active, false);
  }
});

test('the database is another one all of a sudden: the node says so, answers nothing more and ends with status 1 (DR6)', async () => {
  const node = await startNode();
  await postgres.query('update change_log set epoch = gen_random_uuid()');
  const { code } = await node.exit;
  assert.equal(code, 1);
  assert.match(node.output(), /the database went back, or is another one/);
});

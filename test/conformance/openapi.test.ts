/** The description of the API holds the server to its word, with requests that are made from it: Z01–Z04. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { OPERATIONS, ROOT_OPERATIONS } from '../../src/openapi/document.ts';
import type { Media, Parameter, Schema } from '../../src/openapi/operation.ts';
import { type Answer, basic, createClient, issueToken, request } from '../support/client.ts';
import { type DescribedOperation, forbiddenBodies, type Judge, openJudge, valuesOf } from '../support/openapi.ts';
import { type Credentials, type InProcessServer, openServer } from '../support/server.ts';

const SEED = 20_261_125;
const VALID_RUNS = 10;
const FORM_TYPE = 'application/x-www-form-urlencoded';

let server: InProcessServer;
let judge: Judge;
let administrator: string;
let caller: Credentials;
const NAMES = [...Object.keys(OPERATIONS), ...Object.keys(ROOT_OPERATIONS)];
before(async () => {
  server = await openServer({ AUTH_REGISTRATION: 'open' });
  administrator = await issueToken(server.url, server.admin);
  caller = await createClient(server, { scope: 'invoices:read auth:revocations:read' });
  judge = openJudge((await request(`${server.url}/openapi.json`)).body);
});
after(() => server.stop());

interface Sent {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly mediaType?: string;
  readonly body?: unknown;
}

const operationOf = (name: string): DescribedOperation => {
  const found = judge.operations.find((each) => each.name === name.replaceAll(/:(\w+)/g, '{$1}'));
  assert.ok(found, name);
  return found;
};

/** Of the clients that have registered themselves, by their ids. */
const ownTokens = new Map<string | undefined, string>();

/** As a caller who may: by Basic where there is a choice. */
function authorization({ operation }: DescribedOperation, path: Sent['path'] = {}): string {
  const [way = {}] = operation.security;
  if ('registration' in way) return `Bearer ${ownTokens.get(path.client_id) ?? 'rat_junk'}`;
  return 'client_secret_basic' in way ? basic(caller) : 'oauth2' in way ? `Bearer ${administrator}` : '';
}

/** Who waits too long on a busy machine asks again: an outage is not what is tested here. */
async function send(
  described: DescribedOperation,
  { path = {}, query = {}, headers = {}, mediaType, body }: Sent,
  as = authorization(described, path),
): Promise<Answer> {
  const place = described.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? 'nobody'));
  const search = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])).toString();
  const text =
    typeof body === 'string' || body === undefined ? body : mediaType === FORM_TYPE ? formOf(body as object) : JSON.stringify(body);
  const ask = () =>
    request(server.url + place + (search === '' ? '' : `?${search}`), {
      method: described.method,
      headers: { ...(as !== '' && { authorization: as }), ...(mediaType !== undefined && { 'content-type': mediaType }), ...headers },
      ...(text !== undefined && { body: text }),
    });
  let answer = await ask();
  for (let attempt = 1; answer.status === 503 && attempt < 10; attempt++) answer = await ask();
  return answer;
}

function formOf(body: object): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(body)) for (const each of [value].flat()) form.append(name, String(each));
  return form.toString();
}

/** What the path names: a client of its own for each request that could end it. */
async function targets({ parameters, path }: DescribedOperation): Promise<Readonly<Record<string, string>>> {
  if (!parameters.some((parameter) => parameter.in === 'path')) return {};
  if (path === '/scopes/{scope}') {
    const scope = `scope-${randomUUID()}`;
    await send(operationOf('POST /scopes'), { mediaType: 'application/json', body: { name: scope } });
    return { scope };
  }
  if (path === '/registration-tokens/{id}') return { id: (await send(operationOf('POST /registration-tokens'), {})).body.id };
  if (path === '/register/{client_id}') {
    const { body } = await send(operationOf('POST /register'), { mediaType: 'application/json', body: { scope: 'jobs:read' } });
    ownTokens.set(body.client_id, body.registration_access_token);
    return { client_id: body.client_id };
  }
  const { clientId, document } = await createClient(server, { claims: { tenant: 'acme' } });
  return { client_id: clientId, secret_id: (document.secrets as readonly { readonly id: string }[])[0]?.id ?? '' };
}

/** RFC 7592 §2.2: the body names the client as well. */
function named(body: unknown, { client_id: id }: Readonly<Record<string, string>>): unknown {
  const isOwn = ownTokens.has(id) && typeof body === 'object' && body !== null && 'client_id' in body;
  if (!isOwn) return body;
  const { client_secret: _, ...rest } = body as Readonly<Record<string, unknown>>;
  return { ...rest, client_id: id };
}

const contents = ({ operation }: DescribedOperation) => Object.entries(operation.requestBody?.content ?? {});
const schemaOf = ({ schema }: Media) => judge.resolve<Schema>(schema);

for (const name of NAMES) {
  test(`Z01 ${name}: each example of a request is taken, and answered as it is described`, async () => {
    const described = operationOf(name);
    const examples = contents(described).flatMap(([mediaType, { examples = {} }]) =>
      Object.values(examples).map(({ value }): Sent => ({ mediaType, body: value })),
    );
    for (const sent of examples.length > 0 ? examples : [{}]) {
      const path = await targets(described);
      const answer = await send(described, { ...sent, path, body: named(sent.body, path) });
      judge.mustFit(described, answer);
      assert.ok(answer.status < 300, `${JSON.stringify(sent)}: ${answer.status} ${answer.text}`);
    }
  });
}

/** What says nothing when it is made up, or would take its time. */
const CHOSEN: Readonly<Record<string, readonly unknown[]>> = {
  wait: [0],
  after: ['latest', '1-00000000', '0'],
  cursor: ['YWRtaW4', 'x'],
  'If-Match': ['*', '"1"'],
  'If-None-Match': ['*', '"1"', 'W/"1"'],
  'Last-Event-ID': ['1-00000000'],
  Prefer: ['consistency=strict', 'wait=1'],
};

function chosen(parameters: readonly Parameter[], place: Parameter['in']): fc.Arbitrary<Readonly<Record<string, string | undefined>>> {
  const here = parameters.filter((parameter) => parameter.in === place);
  const arbitraries = here.map(({ name, schema }) => [name, CHOSEN[name] ? fc.constantFrom(...CHOSEN[name]) : valuesOf(schema, judge)]);
  return fc.record(Object.fromEntries(arbitraries), { requiredKeys: [], noNullPrototype: true });
}

function requests(described: DescribedOperation): fc.Arbitrary<Sent> {
  const bodies = contents(described).map(([mediaType, media]) => valuesOf(media.schema, judge).map((body) => ({ mediaType, body })));
  const accepted = Object.values(described.operation.responses).flatMap((answer) =>
    Object.keys(('content' in answer && answer.content) || {}),
  );
  return fc
    .record({
      query: chosen(described.parameters, 'query'),
      headers: chosen(described.parameters, 'header'),
      accept: fc.constantFrom('*/*', ...accepted.filter((type) => type !== 'text/event-stream')),
      content: bodies.length === 0 ? fc.constant({}) : fc.oneof(...bodies),
    })
    .map(({ query, headers, accept, content }) => ({ query, headers: { accept, ...headers }, ...content }));
}

for (const name of NAMES) {
  test(`Z02 ${name}: whatever the description allows is answered as it is described`, async () => {
    const described = operationOf(name);
    const once = await targets(described);
    for (const sent of fc.sample(requests(described), { seed: SEED, numRuns: VALID_RUNS })) {
      const body = TAKE_TOKENS.has(name) ? await withToken(sent.body as object) : sent.body;
      const path = described.method === 'DELETE' ? await targets(described) : once;
      judge.mustFit(described, await send(described, { ...sent, path, body: named(body, path) }));
    }
  });
}

const TAKE_TOKENS = new Set(['POST /introspect', 'POST /revoke']);
let tokens = 0;
/** Half of them are real. */
async function withToken(body: object): Promise<object> {
  const { client_id: _, client_secret: __, ...rest } = body as Readonly<Record<string, unknown>>;
  return tokens++ % 2 === 0 && 'token' in rest ? { ...rest, token: await issueToken(server.url, caller) } : rest;
}

for (const name of NAMES) {
  test(`Z03 ${name}: whatever the description forbids is refused as it is described`, async () => {
    const described = operationOf(name);
    const path = await targets(described);
    const isOwn = ownTokens.has(path.client_id);
    const mustRefuse = async (why: string, sent: Sent, statuses: readonly number[]) => {
      const answer = await send(described, { path, ...sent });
      judge.mustFit(described, answer);
      assert.ok(statuses.includes(answer.status), `${why}: ${answer.status} ${answer.text}`);
    };
    const [first] = contents(described);
    for (const { name: parameter, schema } of described.parameters.filter((each) => each.in === 'query')) {
      const odd = ['', '-1', '1e3', '99999999', 'yes', 'x', '\u0000', '2020-02-30T00:00:00Z'].filter(
        (text) => !judge.allows(schema, asTyped(schema, text)),
      );
      for (const value of odd) await mustRefuse(`${parameter}=${value}`, { query: { [parameter]: value } }, [400]);
    }
    const example = (media?: Media) => Object.values(media?.examples ?? {})[0]?.value as Readonly<Record<string, unknown>>;
    if (path.client_id !== undefined) {
      const sent = first ? { mediaType: first[0], body: example(first[1]) } : {};
      await mustRefuse('what is not there', { ...sent, path: { ...path, client_id: 'nobody' } }, [isOwn ? 401 : 404]);
    }
    if (first === undefined) return;
    const isForm = first[0] === FORM_TYPE;
    for (const [mediaType, media] of contents(described)) {
      for (const [why, body] of forbiddenBodies(media.schema, named(example(media), path) as Readonly<Record<string, unknown>>, judge)) {
        // In a form an unknown member is ignored, and everything is text.
        if (isForm && !why.startsWith('without') && !why.startsWith('grant_type')) continue;
        await mustRefuse(`${mediaType}: ${why}`, { mediaType, body }, [400]);
      }
    }
    const required = (schemaOf(first[1]).required ?? []) as readonly string[];
    if (!isForm || required.length > 0)
      for (const body of ['{', '[]', '"x"', 'null', '\u0000']) await mustRefuse(body, { mediaType: first[0], body }, [400]);
    await mustRefuse('another media type', { mediaType: 'text/plain', body: '{}' }, [isForm ? 400 : 415]);
    const bytes = name === 'POST /clients/import' ? 4_300_000 : 70_000;
    await mustRefuse('too much', { mediaType: first[0], body: 'x'.repeat(bytes) }, [413]);
  });
}

/** As the parameter's text is meant: a number where a number is wanted. */
function asTyped({ type }: Schema, text: string): unknown {
  if (type === 'integer') return /^\d+$/.test(text) ? Number(text) : text;
  return type === 'boolean' && /^(true|false)$/.test(text) ? text === 'true' : text;
}

for (const name of NAMES) {
  test(`Z04 ${name}: without authority it is refused as it is described`, async () => {
    const described = operationOf(name);
    const [way] = described.operation.security;
    if (way === undefined || Object.keys(way).length === 0) return;
    const isManagement = 'oauth2' in way;
    const [mediaType, media] = contents(described)[0] ?? [];
    const body = Object.values(media?.examples ?? {})[0]?.value;
    const attempts: readonly (readonly [as: string, status: number])[] = [
      ['', 401],
      [basic({ ...caller, clientSecret: 'wrong' }), 401],
      ...(isManagement || 'bearer' in way
        ? ([
            ['Bearer at_junk', 401],
            ['Bearer a b', 400],
          ] as const)
        : []),
      ...(isManagement ? [[`Bearer ${await issueToken(server.url, caller, { scope: 'invoices:read' })}`, 403] as const] : []),
    ];
    for (const [as, status] of attempts) {
      const answer = await send(described, mediaType === undefined ? {} : { mediaType, body }, as);
      judge.mustFit(described, answer);
      assert.equal(answer.status, status, as);
    }
  });
}

test('Z02 the feed as a stream', async () => {
  const described = operationOf('GET /revocations');
  const end = new AbortController();
  const response = await fetch(`${server.url}/revocations`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${administrator}` },
    signal: end.signal,
  });
  const first = await response.body?.getReader().read();
  end.abort();
  const answer: Answer = {
    status: response.status,
    headers: response.headers,
    text: Buffer.from(first?.value ?? []).toString(),
    body: undefined,
  };
  judge.mustFit(described, answer);
});

test('Z03 what a state or a second request refuses is described, too', async () => {
  const create = { mediaType: 'application/json', body: { client_id: 'admin' } };
  const end = (sub: string) => ({ mediaType: 'application/json', body: { sub }, headers: { 'idempotency-key': 'once' } });
  const introspect = { mediaType: FORM_TYPE, body: { token: 'x' }, headers: { accept: 'text/html' } };
  const refusals: readonly (readonly [name: string, sent: Sent, status: number])[] = [
    ['POST /clients', create, 409],
    ['POST /revocations', end('somebody'), 201],
    ['POST /revocations', end('somebody else'), 422],
    ['POST /introspect', introspect, 406],
    ['GET /revocations', { query: { after: '1-00000000' } }, 410],
    ['GET /clients/:client_id', { path: { client_id: 'admin' }, headers: { 'if-match': '"0"' } }, 412],
  ];
  for (const [name, sent, status] of refusals) {
    const described = operationOf(name);
    const answer = await send(described, sent);
    judge.mustFit(described, answer);
    assert.equal(answer.status, status, `${name}: ${answer.text}`);
  }
});

test('Z04 who fails too often is told to wait as it is described', async () => {
  const described = operationOf('POST /token');
  const wrong = basic({ ...(await createClient(server)), clientSecret: 'wrong' });
  const attempt = () => send(described, { mediaType: FORM_TYPE, body: { grant_type: 'client_credentials' } }, wrong);
  let answer = await attempt();
  for (let attempts = 1; answer.status === 401 && attempts < 150; attempts++) answer = await attempt();
  assert.equal(answer.status, 429);
  judge.mustFit(described, answer);
});

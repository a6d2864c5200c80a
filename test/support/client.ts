/** HTTP as a client of the server would speak it. */
import type { Credentials } from './server.ts';

export function basic({ clientId, clientSecret }: Credentials): string {
  return `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** the body as JSON, loosely typed for assertions */
  // biome-ignore lint/suspicious/noExplicitAny: an assertion says more than a cast
  readonly body: any;
}

export async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(15_000), ...init });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
  return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
}

/** A form, authenticated by Basic unless `credentials` is undefined. */
export function postForm(
  url: string,
  form: string | Readonly<Record<string, string>>,
  credentials?: Credentials,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return request(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(credentials && { authorization: basic(credentials) }),
      ...headers,
    },
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  });
}

export async function issueToken(url: string, credentials: Credentials, form: Readonly<Record<string, string>> = {}): Promise<string> {
  const answer = await postForm(`${url}/token`, { grant_type: 'client_credentials', ...form }, credentials);
  if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.text}`);
  return answer.body.access_token;
}

export function sendJson(
  method: string,
  url: string,
  token: string | undefined,
  body?: unknown,
  contentType = 'application/json',
): Promise<Answer> {
  return request(url, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': contentType }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

/** A new client with its secret, made by the administrator. */
export async function createClient(
  server: { readonly url: string; readonly admin: Credentials },
  metadata: Readonly<Record<string, unknown>> = {},
): Promise<Credentials & { readonly document: Readonly<Record<string, unknown>> }> {
  const token = await issueToken(server.url, server.admin);
  const answer = await sendJson('POST', `${server.url}/clients`, token, metadata);
  if (answer.status !== 201) throw new Error(`no client: ${answer.status} ${answer.text}`);
  return { clientId: answer.body.client_id, clientSecret: answer.body.client_secret ?? '', document: answer.body };
}

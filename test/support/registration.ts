/** Clients that register themselves, for tests. */
import { type Answer, issueToken, request, sendJson } from './client.ts';
import type { InProcessServer } from './server.ts';

export interface Registered {
  readonly clientId: string;
  readonly clientSecret: string;
  /** its registration access token */
  readonly access: string;
  readonly path: string;
  readonly document: Readonly<Record<string, unknown>>;
}

/** @param token an initial access token */
export function register(url: string, metadata: unknown, token?: string, contentType?: string): Promise<Answer> {
  return sendJson('POST', `${url}/register`, token, metadata, contentType);
}

export async function initialToken(server: InProcessServer, settings: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const answer = await sendJson('POST', `${server.url}/registration-tokens`, await issueToken(server.url, server.admin), settings);
  if (answer.status !== 201) throw new Error(`no initial token: ${answer.status} ${answer.text}`);
  return answer.body.initial_access_token;
}

/** @param token `undefined`: by one of its own */
export async function registered(
  server: InProcessServer,
  metadata: Readonly<Record<string, unknown>> = {},
  token?: string,
): Promise<Registered> {
  const { status, text, body } = await register(server.url, metadata, token ?? (await initialToken(server)));
  if (status !== 201) throw new Error(`not registered: ${status} ${text}`);
  const access = body.registration_access_token;
  return { clientId: body.client_id, clientSecret: body.client_secret, access, path: `/register/${body.client_id}`, document: body };
}

/** All that a registration, or a change by a client itself, may write. */
export async function written({ database }: InProcessServer): Promise<unknown> {
  return database.query(`select (select count(*)::int from client) as clients, (select count(*)::int from client_secret) as secrets,
    (select count(*)::int from registration_access) as accesses, (select sum(used)::int from registration_token) as used,
    (select count(*)::int from registration_token) as tokens, (select last_seq from change_log) as seq,
    (select count(*)::int from audit where action <> 'denied') as audits, (select sum(version)::int from client) as versions`);
}

export async function metadataOf(url: string): Promise<Answer['body']> {
  return (await request(`${url}/.well-known/oauth-authorization-server`)).body;
}

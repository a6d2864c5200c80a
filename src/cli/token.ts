/** `auth token …`: the token endpoint, introspection and revocation, as a client. */
import { basicAuthorization, requireSuccess, send } from './api.ts';
import { CommandError, EXIT } from './exit.ts';
import { readToken } from './input.ts';
import { writeDocument, writeJson, writeLine } from './output.ts';
import { resolveTarget, type TargetOptions } from './target.ts';

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface IssueOptions extends Options {
  readonly scope?: string;
  readonly resource?: readonly string[];
}

export async function issueToken({ scope, resource = [], json, ...options }: IssueOptions): Promise<void> {
  const target = await resolveTarget(options);
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== undefined && { scope }) });
  for (const uri of resource) form.append('resource', uri);
  const request = { method: 'POST', path: '/token', authorization: basicAuthorization(target), form } as const;
  const { text, document } = requireSuccess(target, await send(target, request));
  if (json) return writeJson(text);
  if (typeof document.access_token !== 'string') {
    throw new CommandError(EXIT.configuration, `${target.url} does not answer as a token endpoint would`);
  }
  writeLine(document.access_token);
}

/** An inactive token is an answer like any other. */
export async function introspectToken(argument: string | undefined, { json, ...options }: Options): Promise<void> {
  const { text, document } = await present('/introspect', argument, options);
  if (json) writeJson(text);
  else writeDocument(document);
}

export async function revokeToken(argument: string | undefined, { json, ...options }: Options): Promise<void> {
  const { text } = await present('/revoke', argument, options);
  if (json) writeJson(text);
  // RFC 7009 §2.2: the same answer for a token that never was.
  else writeLine('the token is not active any more');
}

async function present(path: '/introspect' | '/revoke', argument: string | undefined, options: TargetOptions) {
  const token = await readToken(argument);
  const target = await resolveTarget(options);
  const authorization = basicAuthorization(target);
  return requireSuccess(target, await send(target, { method: 'POST', path, authorization, form: { token } }));
}

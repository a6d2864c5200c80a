/** `GET /openapi.json` and `GET /docs`: made once, answered always, whatever the stores do (docs/api.md). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describeApi } from '../openapi/document.ts';
import { renderPage } from '../openapi/pages.ts';
import { STYLE } from '../openapi/style.ts';
import { answer, empty } from './answers.ts';

export interface Documentation {
  readonly openapi: Prepared;
  readonly page: Prepared;
}

interface Prepared {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A new version of the server is seen soon, and until then nothing is asked for twice. */
const CACHE_CONTROL = 'public, max-age=300';
/** The page has one style and nothing else: whatever came into it by mistake would not run. */
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function prepareDocumentation(issuer: string): Documentation {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  const api = describeApi(issuer, version);
  return {
    openapi: prepare(JSON.stringify(api), 'application/json'),
    page: prepare(renderPage(api), 'text/html; charset=utf-8', { 'content-security-policy': POLICY, 'referrer-policy': 'no-referrer' }),
  };
}

export function answerPrepared({ headers: asked }: Request, { body, contentType, headers }: Prepared): Response {
  const tags = asked.get('if-none-match')?.split(',') ?? [];
  const isKnown = tags.some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === headers.etag);
  return isKnown ? empty(304, headers) : answer(body, contentType, 200, headers);
}

function prepare(text: string, contentType: string, headers: Readonly<Record<string, string>> = {}): Prepared {
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { body: Buffer.from(text), contentType, headers: { etag, 'cache-control': CACHE_CONTROL, ...headers } };
}

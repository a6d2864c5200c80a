/** `GET /openapi.json` and `GET /docs`: answered always, whatever the stores do (docs/api.md). */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { answer, empty } from './answers.ts';

interface Pages {
  readonly openapi: Prepared;
  readonly page: Prepared;
}

/** Made once, when one of them is asked for first: a start should not wait for what few servers are ever asked (docs/decisions/0023). */
export type Documentation = () => Promise<Pages>;

interface Prepared {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A new version of the server is seen soon, and until then nothing is asked for twice. */
const CACHE_CONTROL = 'public, max-age=300';

export function openDocumentation(issuer: string): Documentation {
  let pages: Promise<Pages> | undefined;
  const make = async () => {
    try {
      return await makePages(issuer);
    } catch (error) {
      pages = undefined; // a file that could not be read now can be later
      throw error;
    }
  };
  return () => (pages ??= make());
}

async function makePages(issuer: string): Promise<Pages> {
  const { describeApi } = await import('../openapi/document.ts');
  const { renderPage } = await import('../openapi/pages.ts');
  const { STYLE } = await import('../openapi/style.ts');
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  const api = describeApi(issuer, version);
  const policy = { 'content-security-policy': policyOf(STYLE), 'referrer-policy': 'no-referrer' };
  return { openapi: prepare(JSON.stringify(api), 'application/json'), page: prepare(renderPage(api), 'text/html; charset=utf-8', policy) };
}

/** The page has one style and nothing else: whatever came into it by mistake would not run. */
function policyOf(style: string): string {
  const hash = createHash('sha256').update(style).digest('base64');
  return `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
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

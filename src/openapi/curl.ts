/** An example as a command that can be pasted. */
import type { Body, Operation } from './operation.ts';

export const FORM_TYPE = 'application/x-www-form-urlencoded';

/** @param url with the path's parameters filled in */
export function curl(method: string, url: string, { security, requestBody }: Pick<Operation, 'security' | 'requestBody'>): string {
  const [way = {}] = security;
  const words = [
    ...('client_secret_basic' in way ? ['-u "$CLIENT_ID:$CLIENT_SECRET"'] : []),
    ...('oauth2' in way ? ['-H "Authorization: Bearer $TOKEN"'] : []),
    ...bodyWords(requestBody),
  ];
  // With a body it is POST by itself.
  const isImplied = method === 'GET' || (method === 'POST' && requestBody !== undefined);
  return [`curl -s${isImplied ? '' : ` -X ${method}`} ${quoted(url)}`, ...words].join(' \\\n  ');
}

function bodyWords(body: Body | undefined): readonly string[] {
  const [mediaType, media] = Object.entries(body?.content ?? {})[0] ?? [];
  const value = Object.values(media?.examples ?? {})[0]?.value;
  if (mediaType === undefined || value === undefined) return [];
  if (mediaType === FORM_TYPE)
    return Object.entries(value as object).map(([name, text]) => `--data-urlencode ${quoted(`${name}=${text}`)}`);
  // JSON lines are text already.
  return [`-H 'Content-Type: ${mediaType}'`, `-d ${quoted(typeof value === 'string' ? value : JSON.stringify(value))}`];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

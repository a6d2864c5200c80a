/** `auth registration-token …`: initial access tokens over `/registration-tokens` (docs/registration.md). */
import type { Answer } from './api.ts';
import { CommandError, EXIT } from './exit.ts';
import { callManagement, readClients } from './management.ts';
import { type Document, documentsOf, textOf, writeDocument, writeJson, writeLine, writeNote, writeTable } from './output.ts';
import { createSecretFile } from './secret-file.ts';
import { resolveTarget, type TargetOptions } from './target.ts';

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface CreateOptions extends Options {
  readonly name?: string;
  readonly uses?: number;
  readonly unlimited?: boolean;
  /** seconds */
  readonly expiresIn?: number;
  readonly scope?: string;
  readonly output?: string;
}

export interface ListOptions extends Options {
  readonly limit?: number;
  readonly all?: boolean;
}

export type DeleteOptions = Options;

const PATH = '/registration-tokens';
const WRITER = 'auth:clients';

/** It ends by this machine's clock, so at about that time. */
export async function createToken({ name, uses, unlimited, expiresIn, scope, output, ...options }: CreateOptions): Promise<void> {
  if (unlimited && expiresIn === undefined) throw new CommandError(EXIT.usage, '--unlimited needs --expires-in');
  const json = {
    ...(name !== undefined && { name }),
    ...(uses !== undefined && { uses }),
    ...(unlimited && { uses: null }),
    ...(scope !== undefined && { scope }),
    ...(expiresIn !== undefined && { expires_at: new Date(Date.now() + expiresIn * 1000).toISOString() }),
  };
  const target = await resolveTarget(options);
  const file = output === undefined ? undefined : createSecretFile(output);
  try {
    const answer = await callManagement(target, [WRITER], { method: 'POST', path: PATH, json });
    const { initial_access_token: token, ...rest } = answer.document;
    if (!file || typeof token !== 'string') {
      show(answer, options);
      writeNote('initial_access_token is not shown again');
      return;
    }
    file.write(token);
    show({ ...answer, text: JSON.stringify(rest), document: rest }, options);
    writeNote(`initial_access_token was written to ${file.path} and is not shown again`);
  } finally {
    file?.close();
  }
}

export async function listTokens({ limit, all, json, ...options }: ListOptions): Promise<void> {
  const target = await resolveTarget(options);
  const pages = await readClients(target, async (get) => {
    const pages: Answer[] = [];
    let cursor: unknown;
    do {
      const query = new URLSearchParams();
      if (limit !== undefined) query.set('limit', String(limit));
      if (typeof cursor === 'string') query.set('cursor', cursor);
      const page = await get(`${PATH}${query.size > 0 ? `?${query}` : ''}`);
      pages.push(page);
      cursor = page.document.next_cursor;
    } while (all && cursor !== undefined);
    return pages;
  });
  if (json && !all) return writeJson(pages[0]?.text ?? '');
  const tokens = pages.flatMap((page) => documentsOf(page.document.items));
  if (json) return writeJson(JSON.stringify({ items: tokens }));
  writeTable(['ID', 'NAME', 'USED', 'ENDS', 'SCOPE'], tokens.map(rowOf));
  if (!all && pages[0]?.document.next_cursor !== undefined) writeNote('there are more: --all shows them');
}

export async function deleteToken(id: string, { json, ...options }: DeleteOptions): Promise<void> {
  if (/^\.{0,2}$/.test(id)) throw new CommandError(EXIT.usage, `"${id}" is not an id`);
  const target = await resolveTarget(options);
  await callManagement(target, [WRITER], { method: 'DELETE', path: `${PATH}/${encodeURIComponent(id)}` });
  if (!json) writeLine('deleted');
}

function rowOf(token: Document): readonly string[] {
  const { id, name, uses, used, expires_at: end, scope } = token;
  const ofHowMany = typeof uses === 'number' ? ` of ${uses}` : '';
  return [textOf(id), textOf(name) || '-', `${Number(used)}${ofHowMany}`, textOf(end), scope === undefined ? 'any' : textOf(scope) || '-'];
}

function show({ text, document }: Answer, { json }: Options): void {
  if (json) writeJson(text);
  else writeDocument(document);
}

/** `auth scope …`: the catalogue of scopes over `/scopes` (docs/scopes.md). */
import type { Answer } from './api.ts';
import { segment } from './client.ts';
import { callManagement, readClients } from './management.ts';
import { type Document, documentsOf, textOf, writeDocument, writeJson, writeLine, writeNote, writeTable } from './output.ts';
import { resolveTarget, type TargetOptions } from './target.ts';

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface PageOptions extends Options {
  readonly limit?: number;
  readonly all?: boolean;
}

export interface AddOptions extends Options {
  readonly description?: string;
}

const WRITER = 'auth:clients';

export async function listScopes(options: PageOptions): Promise<void> {
  const pages = await readPages('/scopes', options);
  const items = pages.flatMap(({ document }) => documentsOf(document.items));
  if (options.json) return writeJson(options.all ? JSON.stringify({ items }) : (pages[0]?.text ?? ''));
  const rows = items.map((scope) => [textOf(scope.name), String(Number(scope.clients)), textOf(scope.description) || '-']);
  writeTable(['SCOPE', 'CLIENTS', 'DESCRIPTION'], rows);
  if (hasMore(pages)) writeNote('there are more scopes: --all shows them');
}

export async function showScope(name: string, options: PageOptions): Promise<void> {
  const pages = await readPages(scopePath(name), options);
  const { next_cursor, items: _, ...scope }: Document = pages[0]?.document ?? {};
  const holders = pages.flatMap(({ document }) => (Array.isArray(document.items) ? document.items : []));
  if (options.json) return writeJson(options.all ? JSON.stringify({ ...scope, items: holders }) : (pages[0]?.text ?? ''));
  writeDocument({ ...scope, held_by: holders });
  if (hasMore(pages)) writeNote('there are more clients: --all shows them');
}

export async function addScope(name: string, { description, ...options }: AddOptions): Promise<void> {
  const json = { name, ...(description !== undefined && { description }) };
  await change({ method: 'POST', path: '/scopes', json }, options);
}

export async function describeScope(name: string, description: string, options: Options): Promise<void> {
  await change({ method: 'PATCH', path: scopePath(name), json: { description: description === '' ? null : description } }, options);
}

export async function removeScope(name: string, options: Options): Promise<void> {
  const path = scopePath(name);
  const target = await resolveTarget(options);
  await callManagement(target, [WRITER], { method: 'DELETE', path });
  if (!options.json) writeLine('removed');
}

async function change(request: Parameters<typeof callManagement>[2], { json: asJson, ...options }: Options): Promise<void> {
  const { text, document } = await callManagement(await resolveTarget(options), [WRITER], request);
  if (asJson) writeJson(text);
  else writeDocument(document);
}

async function readPages(path: string, options: PageOptions): Promise<readonly Answer[]> {
  return readClients(await resolveTarget(options), async (get) => {
    const pages: Answer[] = [];
    let cursor: unknown;
    do {
      const query = new URLSearchParams();
      if (options.limit !== undefined) query.set('limit', String(options.limit));
      if (typeof cursor === 'string') query.set('cursor', cursor);
      const page = await get(query.size > 0 ? `${path}?${query}` : path);
      pages.push(page);
      cursor = page.document.next_cursor;
    } while (options.all && cursor !== undefined);
    return pages;
  });
}

function hasMore(pages: readonly Answer[]): boolean {
  return pages.at(-1)?.document.next_cursor !== undefined;
}

function scopePath(name: string): string {
  return `/scopes/${segment(name)}`;
}

/** `auth client …`: the management of clients over `/clients` (docs/client.md). */
import type { Answer } from './api.ts';
import { type MetadataOptions, metadataOf } from './client-metadata.ts';
import { confirm } from './confirm.ts';
import { CommandError, EXIT } from './exit.ts';
import { changeClients, readClients } from './management.ts';
import { type Document, documentsOf, textOf, writeDocument, writeJson, writeLine, writeNote, writeTable } from './output.ts';
import { nextEnd } from './secret-end.ts';
import { createSecretFile, type SecretFile } from './secret-file.ts';
import { resolveTarget, type TargetOptions } from './target.ts';

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface CreateOptions extends Options, MetadataOptions {
  readonly id?: string;
  readonly output?: string;
}

export interface ListOptions extends Options {
  readonly limit?: number;
  readonly all?: boolean;
  readonly search?: string;
  readonly scope?: string;
  readonly disabled?: boolean;
  readonly enabled?: boolean;
}

export interface UpdateOptions extends Options, MetadataOptions {
  readonly enable?: boolean;
  readonly disable?: boolean;
}

export interface DeleteOptions extends Options {
  readonly yes?: boolean;
}

export interface AddSecretOptions extends Options {
  readonly name?: string;
  readonly expiresAt?: string;
  readonly output?: string;
}

export async function createClient(options: CreateOptions): Promise<void> {
  const metadata = await metadataOf(options);
  const json = options.id === undefined ? metadata : { ...metadata, client_id: options.id };
  const target = await resolveTarget(options);
  await withSecretFile(options.output, async (file) => {
    const answer = await changeClients(target, { method: 'POST', path: '/clients', json }, { scope: metadata.scope });
    showSecretOnce(answer, options, file);
  });
}

export async function listClients(options: ListOptions): Promise<void> {
  const target = await resolveTarget(options);
  const pages = await readClients(target, async (get) => {
    const pages: Answer[] = [];
    let cursor: unknown;
    do {
      const query = filterOf(options);
      if (options.limit !== undefined) query.set('limit', String(options.limit));
      if (typeof cursor === 'string') query.set('cursor', cursor);
      const page = await get(`/clients${query.size > 0 ? `?${query}` : ''}`);
      pages.push(page);
      cursor = page.document.next_cursor;
    } while (options.all && cursor !== undefined);
    return pages;
  });
  const items = pages.flatMap(({ document }) => documentsOf(document.items));
  if (options.json) return writeJson(options.all ? JSON.stringify({ items }) : (pages[0]?.text ?? ''));
  const nowMs = Date.now();
  const rows = items.map((client) => [
    textOf(client.client_id),
    textOf(client.client_name) || '-',
    client.disabled === true ? 'disabled' : 'enabled',
    nextEnd(expiriesOf(client), nowMs),
    textOf(client.scope) || '-',
  ]);
  writeTable(['CLIENT ID', 'NAME', 'STATE', 'SECRET ENDS', 'SCOPE'], rows);
  if (!options.all && pages[0]?.document.next_cursor !== undefined) writeNote('there are more clients: --all shows them');
}

function expiriesOf({ secrets }: Document): readonly (string | undefined)[] {
  return documentsOf(secrets).map(({ expires_at: end }) => (end === undefined ? undefined : textOf(end)));
}

function filterOf({ search, scope, disabled, enabled }: ListOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (search !== undefined) query.set('q', search);
  if (scope !== undefined) query.set('scope', scope);
  if (disabled || enabled) query.set('disabled', String(disabled === true));
  return query;
}

export async function showClient(id: string, options: Options): Promise<void> {
  const path = clientPath(id);
  const target = await resolveTarget(options);
  show(await readClients(target, (get) => get(path)), options);
}

export async function updateClient(id: string, options: UpdateOptions): Promise<void> {
  const path = clientPath(id);
  const metadata = await metadataOf(options);
  const isSwitched = options.disable || options.enable;
  const json = isSwitched ? { ...metadata, disabled: options.disable === true } : metadata;
  if (Object.keys(json).length === 0) throw new CommandError(EXIT.usage, 'nothing to change: say what, for example --scope "read write"');
  const target = await resolveTarget(options);
  show(await changeClients(target, { method: 'PATCH', path, json }, { path, scope: metadata.scope }), options);
}

export async function deleteClient(id: string, options: DeleteOptions): Promise<void> {
  const path = clientPath(id);
  const target = await resolveTarget(options);
  if (!options.yes) await confirm(`Delete client "${id}" at ${target.url}? All its tokens end, and its id is never given again.`);
  await changeClients(target, { method: 'DELETE', path }, { path });
  if (!options.json) writeLine('deleted');
}

export interface RotateSecretOptions extends AddSecretOptions {
  /** seconds */
  readonly keep: number;
}

/** The others end by this machine's clock, so at about that time. */
export async function rotateSecret(id: string, options: RotateSecretOptions): Promise<void> {
  await addSecret(id, options, { previous_expires_at: new Date(Date.now() + options.keep * 1000).toISOString() });
}

export async function addSecret(id: string, options: AddSecretOptions, others: Document = {}): Promise<void> {
  const path = clientPath(id);
  const { name, expiresAt } = options;
  const json = { ...others, ...(name !== undefined && { name }), ...(expiresAt !== undefined && { expires_at: expiresAt }) };
  const target = await resolveTarget(options);
  await withSecretFile(options.output, async (file) => {
    const answer = await changeClients(target, { method: 'POST', path: `${path}/secrets`, json }, { path });
    showSecretOnce(answer, options, file);
  });
}

export interface RemoveSecretOptions extends Options {
  readonly revokeTokens?: boolean;
}

export async function removeSecret(id: string, secretId: string, options: RemoveSecretOptions): Promise<void> {
  const path = clientPath(id);
  const target = await resolveTarget(options);
  const query = options.revokeTokens ? '?revoke_tokens=true' : '';
  await changeClients(target, { method: 'DELETE', path: `${path}/secrets/${segment(secretId)}${query}` }, { path });
  if (!options.json) writeLine('removed');
}

function show({ text, document }: Answer, { json }: { readonly json?: boolean }): void {
  if (json) writeJson(text);
  else writeDocument(document);
}

async function withSecretFile(path: string | undefined, work: (file: SecretFile | undefined) => Promise<void>): Promise<void> {
  const file = path === undefined ? undefined : createSecretFile(path);
  try {
    await work(file);
  } finally {
    file?.close();
  }
}

/** What the server shows once goes to the file, or to stdout: never to both. */
function showSecretOnce(answer: Answer, options: Options, file: SecretFile | undefined): void {
  const { client_secret: secret, ...rest } = answer.document;
  const isSecret = typeof secret === 'string';
  if (isSecret && file) {
    file.write(secret);
    show({ ...answer, text: JSON.stringify(rest), document: rest }, options);
    writeNote(`client_secret was written to ${file.path} and is not shown again`);
  } else {
    show(answer, options);
    if (isSecret) writeNote('client_secret is not shown again');
  }
}

function clientPath(id: string): string {
  return `/clients/${segment(id)}`;
}

/** One segment of a path; a URL parser would take `.` and `..` for directions. */
export function segment(id: string): string {
  if (/^\.{0,2}$/.test(id)) throw new CommandError(EXIT.usage, `"${id}" is not an id`);
  return encodeURIComponent(id);
}

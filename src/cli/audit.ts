/** `auth audit`: who did what, over `GET /audit` (docs/audit.md). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './api.ts';
import { CommandError, EXIT } from './exit.ts';
import { readAudit } from './management.ts';
import { type Document, documentsOf, printable, textOf, writeJson, writeLine, writeNote, writeTable } from './output.ts';
import { resolveTarget, type Target, type TargetOptions } from './target.ts';

export interface AuditOptions extends TargetOptions {
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

type Get = (path: string) => Promise<Answer>;

const POLL_MS = 1_000;
/** What was there before is shown as far as it helps to see what comes. */
const FOLLOW_FROM = 10;
const FOLLOW_PAGE = 500;
const DETAIL_CHARACTERS_MAX = 120;
const HEADER = ['TIME', 'ACTION', 'ACTOR', 'ADDRESS', 'TARGET', 'DETAIL'];

export async function showAudit(options: AuditOptions): Promise<void> {
  const server = await resolveTarget(options);
  if (options.follow) return followAudit(server, options);
  const { text, document } = await readAudit(server, (get) => get(auditPath(options, { limit: options.limit })));
  if (options.json) return writeJson(text);
  writeTable(HEADER, documentsOf(document.items).map(cells));
  if (document.next_cursor !== undefined) writeNote('there is more: --limit shows up to 500, and --until goes back further');
}

/** Until Ctrl-C. An outage of the server and the end of a token's life are waited out. */
async function followAudit(server: Target, options: AuditOptions): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  process.stdout.once('error', () => stop.abort()); // the reader has seen enough: `| head`
  let after: number | undefined;
  const show = (items: readonly Document[]) => {
    for (const item of items) {
      if (options.json) writeJson(JSON.stringify(item));
      else writeLine(cells(item).join('  '));
      if (typeof item.id === 'number') after = item.id;
    }
  };
  while (!stop.signal.aborted) {
    let hasAnswered = false;
    const watch = async (get: Get) => {
      const ask = async (page: Page) => documentsOf((await get(auditPath(options, page))).document.items);
      if (after === undefined) show((await ask({ limit: options.limit ?? FOLLOW_FROM })).toReversed());
      after ??= 0;
      while (!stop.signal.aborted) {
        const items = await ask({ after, limit: FOLLOW_PAGE });
        hasAnswered = true;
        show(items);
        if (items.length < FOLLOW_PAGE) await pause(stop.signal);
      }
    };
    try {
      await readAudit(server, watch);
    } catch (error) {
      if (stop.signal.aborted) return;
      if (!(error instanceof CommandError) || after === undefined) throw error;
      if (error.exitCode !== EXIT.unavailable && !(error.exitCode === EXIT.notAuthorized && hasAnswered)) throw error;
      if (error.exitCode === EXIT.unavailable) writeNote(`${error.message}: trying again`);
      await pause(stop.signal);
    }
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
}

interface Page {
  readonly limit: number | undefined;
  /** an id: what came after it, oldest first */
  readonly after?: number;
}

function auditPath({ actor, action, target, since, until }: AuditOptions, page: Page): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ actor, action, target, since, until, ...page })) {
    if (value !== undefined) query.set(name, String(value));
  }
  return `/audit${query.size > 0 ? `?${query}` : ''}`;
}

function cells({ at, action, actor, target, detail }: Document): readonly string[] {
  const { client_id, address } = documentOf(actor);
  return [textOf(at), textOf(action), textOf(client_id) || '-', textOf(address) || '-', textOf(target), detailText(documentOf(detail))];
}

/** What a line has room for; all of it is in the JSON. */
function detailText(detail: Document): string {
  const parts = Object.entries(detail).map(([name, value]) => {
    if (name === 'changes') return Object.keys(documentOf(value)).join(', ');
    if (name === 'metadata') return textOf(documentOf(value).client_name);
    return `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });
  const text = printable(parts.filter((part) => part !== '').join(' '));
  return text.length > DETAIL_CHARACTERS_MAX ? `${text.slice(0, DETAIL_CHARACTERS_MAX)}…` : text || '-';
}

function documentOf(value: unknown): Document {
  return typeof value === 'object' && value !== null ? (value as Document) : {};
}

/** `auth revocations …`: ends many tokens by one call, and shows the feed of what has ended (docs/revocation.md). */
import { randomUUID } from 'node:crypto';
import { type Answer, requireSuccess } from './api.ts';
import { confirm } from './confirm.ts';
import { CommandError, EXIT } from './exit.ts';
import { readToken } from './input.ts';
import { call, callManagement, withToken } from './management.ts';
import { type Document, documentsOf, textOf, writeDocument, writeJson, writeLine, writeNote, writeTable } from './output.ts';
import { resolveTarget, type Target, type TargetOptions } from './target.ts';

const READ = ['auth:revocations:read', 'auth:revocations'] as const;
/** A long poll: what ends is shown at once all the same. */
const WAIT_SECONDS = 30;
const RETRY_MS = 1_000;

interface Options extends TargetOptions {
  readonly json?: boolean;
}

export interface AddOptions extends Options {
  readonly hash?: string;
  readonly client?: string;
  readonly sub?: string;
  readonly all?: boolean;
  readonly issuedBefore?: string;
  readonly reason?: string;
  readonly dryRun?: boolean;
  readonly idempotencyKey?: string;
  readonly yes?: boolean;
}

export interface ListOptions extends Options {
  readonly after?: string;
  readonly limit?: number;
}

/** What is done once whatever happens on the way: the request carries a key, and whoever is in doubt repeats it with that. */
export async function addRevocation(token: string | undefined, options: AddOptions): Promise<void> {
  const order = await orderOf(token, options);
  const target = await resolveTarget(options);
  if (options.all && !options.dryRun && !options.yes) {
    await confirm(`End every token at ${target.url} that was issued before ${options.issuedBefore ?? '?'}, whoever has it?`);
  }
  const key = options.idempotencyKey ?? randomUUID();
  const request = { method: 'POST', path: '/revocations', json: order, headers: { 'idempotency-key': key } } as const;
  const { text, document } = await callManagement(target, ['auth:revocations'], request).catch((error: unknown) => {
    if (error instanceof CommandError && error.exitCode === EXIT.unavailable) writeNote(`to repeat it safely: --idempotency-key ${key}`);
    throw error;
  });
  if (options.json) return writeJson(text);
  if (document.dry_run === true) return writeLine(`${String(document.tokens)} tokens would end`);
  if (document.cursor === undefined) return writeLine('there was nothing to end');
  writeDocument(document);
}

export async function listRevocations(options: ListOptions): Promise<void> {
  const target = await resolveTarget(options);
  const { text, document } = await callManagement(target, READ, { method: 'GET', path: pagePath(options.after, options.limit) });
  if (options.json) return writeJson(text);
  const items = documentsOf(document.items);
  writeTable(
    ['ENDED', 'WHAT', 'ISSUED BEFORE', 'REASON'],
    items.map((item) => [textOf(item.revoked_at), ...cellsOf(item)]),
  );
  if (document.next_cursor !== undefined) writeNote(`there are more: --after ${textOf(document.next_cursor)}`);
}

/** Until somebody ends it: one line each. */
export async function followRevocations({ after = 'latest', json, ...options }: ListOptions): Promise<void> {
  const target = await resolveTarget(options);
  let cursor = after;
  for (;;) {
    // A token of its own ends after a while; each end of one is a revocation as well, so it is kept as long as it is good.
    cursor = await withToken(target, READ, (token) => followWith(target, token, cursor, json === true));
  }
}

/** @returns the cursor, when the token has ended */
async function followWith(target: Target, token: string, after: string, isJson: boolean): Promise<string> {
  const patient = { ...target, timeoutMs: target.timeoutMs + WAIT_SECONDS * 1000 };
  for (let cursor = after; ; ) {
    let answer: Answer;
    try {
      answer = await call(patient, token, { method: 'GET', path: `${pagePath(cursor, undefined)}&wait=${WAIT_SECONDS}` });
    } catch (error) {
      // It may be starting again, or another node takes over: the cursor is good there as well.
      if (!(error instanceof CommandError) || error.exitCode !== EXIT.unavailable) throw error;
      await pause();
      continue;
    }
    if (answer.status === 401) return cursor;
    if (answer.status === 503) {
      await pause();
      continue;
    }
    const { document } = requireSuccess(target, answer);
    for (const item of documentsOf(document.items)) writeEntry(item, isJson);
    cursor = textOf(document.cursor) || cursor;
  }
}

function writeEntry(item: Document, isJson: boolean): void {
  if (isJson) {
    writeJson(JSON.stringify(item));
    return;
  }
  const [what, before, reason] = cellsOf(item);
  writeLine([textOf(item.revoked_at), what, before && `issued before ${before}`, reason].filter((part) => part !== '').join('  '));
}

function cellsOf(item: Document): [what: string, issuedBefore: string, reason: string] {
  const { token_hash: hash, client_id: client, sub, issued_before: before } = item;
  const what =
    hash !== undefined
      ? `token ${textOf(hash)}`
      : client !== undefined
        ? `client ${textOf(client)}`
        : sub !== undefined
          ? `sub ${textOf(sub)}`
          : 'all';
  return [what, typeof before === 'number' ? new Date(before * 1000).toISOString().replace('.000', '') : '', textOf(item.reason)];
}

async function orderOf(token: string | undefined, options: AddOptions): Promise<Document> {
  const { hash, client, sub, all, issuedBefore, reason, dryRun } = options;
  const targets = Object.entries({
    token: token === undefined ? undefined : await readToken(token),
    token_hash: hash,
    client_id: client,
    sub,
    all,
  }).filter(([, value]) => value !== undefined);
  if (targets.length !== 1) throw new CommandError(EXIT.usage, 'say whose tokens: a token, or one of --hash, --client, --sub, --all');
  return {
    ...Object.fromEntries(targets),
    ...(issuedBefore !== undefined && { issued_before: parseTime(issuedBefore) }),
    ...(reason !== undefined && { reason }),
    ...(dryRun && { dry_run: true }),
  };
}

/** Seconds since 1970, or RFC 3339. */
function parseTime(text: string): number {
  const seconds = /^\d{1,10}$/.test(text)
    ? Number(text)
    : /^\d{4}-\d\d-\d\dT/.test(text)
      ? Math.floor(Date.parse(text) / 1000)
      : Number.NaN;
  if (!Number.isSafeInteger(seconds)) {
    throw new CommandError(EXIT.usage, '--issued-before must be a time: 2030-01-31T00:00:00Z, or seconds since 1970');
  }
  return seconds;
}

function pagePath(after: string | undefined, limit: number | undefined): string {
  const query = new URLSearchParams();
  if (after !== undefined) query.set('after', after);
  if (limit !== undefined) query.set('limit', String(limit));
  return `/revocations${query.size > 0 ? `?${query}` : ''}`;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
}

/** `/revocations`: bulk revocation, and the feed of what has ended (docs/revocation.md). */
import { isInPart } from '../core/delegation.ts';
import { BearerError, Problem } from '../core/errors.ts';
import type { Actor } from '../core/ports.ts';
import { findPresented } from '../core/presented-token.ts';
import { cursorOf, parseRevocation, type RevocationTarget, readCursor } from '../core/revocations.ts';
import { empty, eventStream, json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { noSuchClient } from './client-document.ts';
import { readBearer } from './credentials.ts';
import { readOnce } from './idempotency.ts';
import { administeredBy, authorize, JSON_TYPE, readChange, readLimit, readQuery } from './management.ts';

const WRITER = 'auth:revocations';
const READERS = ['auth:revocations:read', WRITER] as const;
const STREAM_TYPE = 'text/event-stream';
export const WAIT_SECONDS_MAX = 60;
/** A log of millions of entries that have expired is not read in one request: an empty page says where to go on. */
const ROUNDS_MAX = 200;

export const revocationRoutes: readonly Route[] = [
  { method: 'POST', path: '/revocations', style: 'management', answer: addRevocation },
  { method: 'GET', path: '/revocations', style: 'management', answer: followRevocations },
];

async function addRevocation(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = await readChange(call, deps, WRITER, JSON_TYPE);
  const { target, reason, isDryRun } = parseRevocation(document, deps.clock());
  const once = readOnce(call.request, document);
  await requireAdministered(target, actor, deps);
  if (isDryRun) return json({ dry_run: true, tokens: target ? await deps.revocations.count(target) : 0 });
  const result = target ? await deps.revocations.append({ target, reason }, actor, once) : ({ outcome: 'nothing' } as const);
  switch (result.outcome) {
    case 'ended':
    case 'ended_before':
      return json(deps.feed.documentOf(result.revocation, result.epoch), 201);
    case 'nothing':
      // RFC 7009 §2.2: of a token that is unknown there is nothing to end, and that is what was wanted.
      if (target?.kind === 'client') throw noSuchClient();
      return json({});
  }
}

/**
 * Who administers a part of the clients ends the tokens of those. A subject, or all that was issued before a time, may be of others; and so may a token
 * that is yet unknown.
 */
async function requireAdministered(target: RevocationTarget | undefined, actor: Actor, deps: HttpDeps): Promise<void> {
  const part = await administeredBy(actor, deps);
  if (!part) return;
  if (target?.kind !== 'client')
    throw new Problem('insufficient_scope', 'your administration is limited to a part of the clients: only client_id can be given');
  const known = await deps.clientRecords.find(target.key);
  if (!known || !isInPart(known.client, part)) throw noSuchClient();
}

async function followRevocations(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, ...READERS);
  const query = readQuery(call.request, 'after', 'limit', 'wait');
  const limit = readLimit(query.get('limit'));
  const wait = readWait(query.get('wait'));
  const isStream = prefersStream(call.request.headers.get('accept'));
  // A browser's EventSource comes back with the address that it was given at first, so its header says more.
  const given = (isStream ? call.request.headers.get('last-event-id') : undefined) || query.get('after');
  const after = await readPlace(given, deps);
  // Its body would be made and thrown away, and its reader be left behind.
  if (isStream && call.request.method === 'HEAD') return empty(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  const isAllowed = stillAllowed(call, deps);
  if (isStream) return eventStream(deps.feed.stream(after, isAllowed));
  const deadline = performance.now() + wait * 1000;
  const { signal } = call.request;
  let page = await deps.revocations.list(after, limit);
  for (let round = 1; page.revocations.length === 0 && round < ROUNDS_MAX && !deps.feed.isClosed && !signal.aborted; round++) {
    const leftMs = deadline - performance.now();
    if (page.readTo >= page.lastSeq) {
      if (leftMs <= 0) break;
      await deps.feed.later(page.readTo, leftMs, signal);
    }
    page = await deps.feed.page(page.readTo, limit);
  }
  // Waiting takes its time, and what is said after the end of a token is said to nobody who may hear it.
  if (wait > 0 && !(await isAllowed())) throw new BearerError('invalid_token', 'the access token is not valid');
  const cursor = cursorOf(page.readTo, page.epoch);
  const items = page.revocations.map((revocation) => deps.feed.documentOf(revocation, page.epoch));
  return json({ items, cursor, ...(page.readTo < page.lastSeq && { next_cursor: cursor }) });
}

/** @throws Problem `cursor_gone` — of another history, or beyond this one: the reader has to begin anew */
async function readPlace(text: string | null | undefined, deps: HttpDeps): Promise<number> {
  if (text === null || text === undefined) return 0;
  if (text === 'latest') return (await deps.revocations.list(0, 1)).lastSeq;
  const cursor = readCursor(text);
  if (!cursor) throw new Problem('invalid_request', 'the cursor is malformed');
  if (!cursor.isOf(await deps.revocations.list(cursor.seq, 1))) {
    throw new Problem('cursor_gone', 'this cursor is of another history of the database: forget what is cached and begin without one');
  }
  return cursor.seq;
}

function stillAllowed({ authorization }: Call, deps: HttpDeps): () => Promise<boolean> {
  const bearer = readBearer(authorization) ?? '';
  return async () => (await findPresented(bearer, deps.clock(), deps)) !== undefined;
}

function prefersStream(accept: string | null): boolean {
  return accept?.split(',').some((type) => type.split(';', 1)[0]?.trim().toLowerCase() === STREAM_TYPE) ?? false;
}

function readWait(text: string | null): number {
  const wait = text === null ? 0 : /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (!(wait <= WAIT_SECONDS_MAX)) throw new Problem('invalid_request', `wait must be a number of seconds from 0 to ${WAIT_SECONDS_MAX}`);
  return wait;
}

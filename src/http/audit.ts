/** `GET /audit`: who did what (docs/audit.md). */
import { CLIENT_ID_PATTERN } from '../core/clients.ts';
import { Problem } from '../core/errors.ts';
import type { AuditEntry, AuditQuery } from '../core/ports.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { authorize, parseTime, readLimit, readQuery } from './management.ts';

export const auditRoutes: readonly Route[] = [{ method: 'GET', path: '/audit', style: 'management', answer: listAudit }];

const PARAMETERS: readonly string[] = ['actor', 'action', 'target', 'since', 'until', 'limit', 'cursor', 'after'];
const ACTION = /^[a-z_]+(?:\.[a-z_]+)*(?<every>\.\*)?$/;
const TEXT = /^\P{Cc}{1,256}$/u;
/** What a JSON number holds exactly. */
const ID = /^\d{1,15}$/;

async function listAudit(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, 'auth:audit');
  const query = readAuditQuery(readQuery(call.request, ...PARAMETERS));
  // One more than asked for says whether there is another page.
  const entries = await deps.audit.read({ ...query, limit: query.limit + 1 });
  const page = entries.slice(0, query.limit);
  const last = page.at(-1);
  const hasMore = entries.length > query.limit && last !== undefined && query.from.after === undefined;
  return json({ items: page.map(auditItem), ...(hasMore && { next_cursor: cursorOf(last.id) }) });
}

function readAuditQuery(given: URLSearchParams): AuditQuery {
  if (given.has('after') && given.has('cursor')) throw invalid('after and cursor exclude each other');
  const read = <T>(name: string, expected: string, parse: (text: string) => T | undefined): T | undefined => {
    const text = given.get(name);
    if (text === null) return undefined;
    const value = parse(text);
    if (value === undefined) throw invalid(`${name} must be ${expected}`);
    return value;
  };
  return {
    actor: read('actor', 'a client id', (text) => (CLIENT_ID_PATTERN.test(text) ? text : undefined)),
    action: read('action', 'an action, or the beginning of some: client.*', parseAction),
    target: read('target', '1 to 256 characters of text', (text) => (TEXT.test(text) ? text : undefined)),
    since: read('since', 'a time, RFC 3339', parseTime),
    until: read('until', 'a time, RFC 3339', parseTime),
    limit: readLimit(given.get('limit')),
    from: {
      before: read('cursor', 'the next_cursor of a page', parseCursor),
      after: read('after', 'the id of an item, or 0', (text) => (ID.test(text) ? Number(text) : undefined)),
    },
  };
}

function parseAction(text: string): AuditQuery['action'] {
  const every = text.length > 100 ? null : ACTION.exec(text);
  if (!every) return undefined;
  return every.groups?.every === undefined ? { is: text } : { beginsWith: text.slice(0, -1) };
}

function cursorOf(id: number): string {
  return Buffer.from(String(id)).toString('base64url');
}

/** The id of the last item of the page before. */
function parseCursor(text: string): number | undefined {
  const id = Buffer.from(text, 'base64url').toString();
  return ID.test(id) && Buffer.from(id).toString('base64url') === text ? Number(id) : undefined;
}

/** By its wire names, for the answer and for the log. */
export function auditItem({
  id,
  at,
  action,
  clientId,
  secretId,
  address,
  target,
  detail,
  requestId,
}: AuditEntry): Readonly<Record<string, unknown>> {
  return {
    id,
    at: at.toISOString(),
    action,
    actor: { client_id: clientId, secret_id: secretId, address },
    target,
    detail,
    ...(requestId !== undefined && { request_id: requestId }),
  };
}

function invalid(detail: string): Problem {
  return new Problem('invalid_request', detail);
}

/** `POST /clients/import` (docs/import.md). */
import { setImmediate as turn } from 'node:timers/promises';
import { type ImportedClient, parseImportedClient, standingOf } from '../core/client-import.ts';
import { requireOwnScopes } from '../core/clients.ts';
import { type Administers, type Part, partOf, requireCreation } from '../core/delegation.ts';
import { type FieldProblem, Problem, type ProblemCode } from '../core/errors.ts';
import type { Actor } from '../core/ports.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { BODY_BYTES_MAX, parseJsonObject, readLines } from './body.ts';
import { HttpError } from './errors.ts';
import { authorize, limitsOf, parseTime, readQuery } from './management.ts';

const WRITER = 'auth:clients';
const LINES_MAX = 1_000;
const ERRORS_MAX = 1_000;
/** Between so many lines others have their turn: what a node may say from memory is not to wait for a whole import. */
const LINES_OF_TURN = 20;
const ATTEMPTS = 3;

export const clientImportRoutes: readonly Route[] = [
  { method: 'POST', path: '/clients/import', style: 'management', answer: importClients },
];

interface Line {
  readonly index: number;
  readonly client: ImportedClient;
}

/** Why a line is not imported. */
interface Refusal {
  readonly index: number;
  readonly code: ProblemCode;
  readonly fields: readonly FieldProblem[];
}

interface Plan {
  readonly made: readonly ImportedClient[];
  readonly unchanged: number;
  readonly refusals: readonly Refusal[];
}

/** The caller is looked at before and after the body, as in {@link readChange}. */
async function importClients(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, WRITER);
  const query = readQuery(call.request, 'dry_run', 'partial');
  const [isDryRun, isPartial] = [readFlag(query, 'dry_run'), readFlag(query, 'partial')];
  const texts = await readLines(call.request, 'application/x-ndjson', 'application/jsonl');
  if (texts.length > LINES_MAX) throw new HttpError(413, `an import may have ${LINES_MAX} lines`);
  const actor = await authorize({ ...call, now: deps.clock() }, deps, WRITER);
  const limits = await limitsOf(actor, deps);
  const part = partOf(limits, actor.clientId);
  const parsed = await parseLines(texts, { actor, limits, now: deps.clock() });
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { made, unchanged, refusals } = await planOf(parsed, part, deps);
    if (refusals.length > 0 && !isPartial && !isDryRun) throw refusalOf(refusals);
    const failed = refusals.length > 0 && { errors: errorsOf(refusals) };
    const counts = { created: made.length, unchanged, failed: refusals.length, ...failed };
    if (isDryRun) return json({ dry_run: true, ...counts });
    if (made.length === 0 || (await deps.importer.insert(made, actor)) === 'done') return json(counts);
  }
  throw new Problem('conflict', 'some of these ids are being given by others at this moment');
}

function readFlag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? 'false';
  if (value !== 'true' && value !== 'false') throw new Problem('invalid_request', `${name} must be true or false`);
  return value === 'true';
}

/** What can be said of the lines without a look at what is there. */
async function parseLines(
  texts: readonly string[],
  { actor, limits, now }: { readonly actor: Actor; readonly limits: Administers | undefined; readonly now: number },
): Promise<{ readonly lines: readonly Line[]; readonly refusals: readonly Refusal[] }> {
  const [lines, refusals, ids]: [Line[], Refusal[], Set<string>] = [[], [], new Set()];
  for (const [index, text] of texts.entries()) {
    if (index % LINES_OF_TURN === LINES_OF_TURN - 1) await turn();
    try {
      // As much as one that is made alone: what takes longest with a line must not be what the whole body could have (measured: 3.5 s for 300,000 members).
      if (Buffer.byteLength(text) > BODY_BYTES_MAX) throw new HttpError(413, `the line may have ${BODY_BYTES_MAX} bytes`);
      const client = parseImportedClient(parseJsonObject(text, 'the line'), parseTime, now);
      requireOwnScopes(actor.scope, client.settings);
      // Before anything is said of what is there: outside of its part nothing is.
      requireCreation(limits, client.id, client.settings);
      if (ids.has(client.id)) {
        const fields = [{ pointer: '/client_id', detail: 'is that of another line, too' }];
        throw new Problem('invalid_client_metadata', 'the client metadata is not valid', fields);
      }
      ids.add(client.id);
      lines.push({ index, client });
    } catch (error) {
      refusals.push(lineRefusal(index, error));
    }
  }
  return { lines, refusals };
}

function lineRefusal(index: number, error: unknown): Refusal {
  if (error instanceof HttpError) return { index, code: 'invalid_request', fields: [{ pointer: '', detail: error.message }] };
  if (!(error instanceof Problem)) throw error;
  const fields = error.fields.length === 0 ? [{ pointer: '/scope', detail: error.message }] : error.fields;
  return { index, code: error.code, fields };
}

async function planOf(
  parsed: { readonly lines: readonly Line[]; readonly refusals: readonly Refusal[] },
  part: Part | undefined,
  { importer }: HttpDeps,
): Promise<Plan> {
  const existing = await importer.existing(parsed.lines.map(({ client }) => client.id));
  const unknown = await importer.unknownScopes([...new Set(parsed.lines.flatMap(({ client }) => client.settings.scope))]);
  const made: ImportedClient[] = [];
  const refusals = [...parsed.refusals];
  for (const [count, { index, client }] of parsed.lines.entries()) {
    if (existing.size > 0 && count % LINES_OF_TURN === LINES_OF_TURN - 1) await turn();
    const standing = standingOf(client, existing, part);
    const scopes = client.settings.scope.flatMap((name) => unknown.get(name) ?? []);
    if (standing === 'new' && scopes.length > 0) refusals.push({ index, code: 'invalid_client_metadata', fields: scopes });
    else if (standing === 'new') made.push(client);
    if (standing !== 'exists') continue;
    const fields = [{ pointer: '/client_id', detail: 'is in use by another client, or was used by one that has been deleted' }];
    refusals.push({ index, code: 'conflict', fields });
  }
  const unchanged = parsed.lines.length + parsed.refusals.length - made.length - refusals.length;
  return { made, unchanged, refusals: refusals.sort((a, b) => a.index - b.index) };
}

/** A problem of all of them if it is the same for all. */
function refusalOf(refusals: readonly Refusal[]): Problem {
  const codes = new Set(refusals.map(({ code }) => code));
  const [code = 'invalid_client_metadata'] = codes.size === 1 ? codes : [];
  return new Problem(
    code,
    `${refusals.length === 1 ? 'a line' : `${refusals.length} lines`} cannot be imported, so none was`,
    errorsOf(refusals),
  );
}

/** Pointers as into an array of the lines: `/0/scope` is of the first. */
function errorsOf(refusals: readonly Refusal[]): readonly FieldProblem[] {
  const errors = refusals.flatMap(({ index, fields }) => fields.map(({ pointer, detail }) => ({ pointer: `/${index}${pointer}`, detail })));
  return errors.slice(0, ERRORS_MAX);
}

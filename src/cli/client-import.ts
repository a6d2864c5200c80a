/** `auth client import`: JSON lines through `POST /clients/import`, as often as it takes (docs/import.md). */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type ApiRequest, requireSuccess, send } from './api.ts';
import { type Batch, batchesOf, sizeOf } from './client-lines.ts';
import { CommandError, EXIT, writeError } from './exit.ts';
import { ownScopes, withToken } from './management.ts';
import { type Document, documentsOf, textOf, writeJson, writeLine } from './output.ts';
import { openProgress, type Progress } from './progress.ts';
import { resolveTarget, type Target, type TargetOptions } from './target.ts';

export interface ImportOptions extends TargetOptions {
  readonly json?: boolean;
  readonly dryRun?: boolean;
  readonly partial?: boolean;
}

interface Run {
  readonly file: string;
  readonly size: number | undefined;
  readonly target: Target;
  readonly mode: 'check' | 'all' | 'partial';
  readonly isJson: boolean;
  readonly progress: Progress;
}

interface Counts {
  created: number;
  unchanged: number;
  failed: number;
  /** the first of them */
  readonly errors: LineError[];
}

interface LineError {
  readonly line: number;
  readonly pointer: string;
  readonly detail: string;
}

/** For `--json`, which is one document. */
const ERRORS_KEPT = 1_000;
/** A token is used for a while only, as its life may be short. */
const TOKEN_MS = 20_000;
const ATTEMPTS = 12;
/** What the server asks for, at first. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 5_000;

/** @throws CommandError — refused, or the server is away for too long; what was created by then stays */
export async function importClients(file: string, options: ImportOptions): Promise<void> {
  const size = await sizeOf(file);
  const target = await resolveTarget(options);
  const run = { file, size, target, isJson: options.json === true, progress: openProgress() };
  const mode = options.dryRun ? 'check' : options.partial ? 'partial' : 'all';
  if (mode === 'all' && file !== '-') {
    const checked = await pass({ ...run, mode: 'check' });
    if (checked.failed > 0) return finish({ ...checked, created: 0, unchanged: 0 }, run, `${wrong(checked)}, so nothing was created`);
  }
  const counts = await pass({ ...run, mode });
  const isWrong = counts.failed > 0;
  const reason = mode === 'all' ? `stopped: the lines before were created, those from there on were not` : wrong(counts);
  finish(counts, run, isWrong ? reason : undefined, mode === 'check');
}

function finish({ created, unchanged, failed, errors }: Counts, { isJson }: Pick<Run, 'isJson'>, reason?: string, isDryRun = false): void {
  const dry = isDryRun && { dry_run: true };
  if (isJson) writeJson(JSON.stringify({ ...dry, created, unchanged, failed, ...(errors.length > 0 && { errors }) }));
  else writeLine(`${isDryRun ? 'to be created' : 'created'} ${created}, unchanged ${unchanged}, failed ${failed}`);
  if (reason === undefined) return;
  writeError(`error: ${reason}`);
  process.exitCode = EXIT.refused;
}

function wrong({ failed }: Counts): string {
  return failed === 1 ? 'a line is wrong' : `${failed} lines are wrong`;
}

/** All of the file once; in mode `all` up to the first batch that is refused. */
async function pass(run: Run): Promise<Counts> {
  const counts: Counts = { created: 0, unchanged: 0, failed: 0, errors: [] };
  const batches = batchesOf(run.file);
  let next = await batches.next();
  try {
    while (!next.done) {
      const scopes = scopesOf(next.value);
      await withToken(run.target, [['auth:clients', ...scopes].join(' '), 'auth:clients'], async (token) => {
        const until = performance.now() + TOKEN_MS;
        do {
          if (next.done || !(await importBatch(next.value, token, run, counts))) next = { done: true, value: undefined };
          else next = await batches.next();
        } while (!next.done && performance.now() < until && scopesOf(next.value).every((scope) => scopes.includes(scope)));
      });
    }
  } catch (error) {
    if (error instanceof CommandError && run.mode !== 'check') {
      const done = `${counts.created} clients were created before; the same command goes on from there`;
      throw new CommandError(error.exitCode, error.message, [...error.details, done]);
    }
    throw error;
  } finally {
    run.progress.clear();
    await batches.return(undefined);
  }
  return counts;
}

/** Lines that give such a scope are created only by a token that holds it, too. */
function scopesOf({ lines }: Batch): readonly string[] {
  const found = lines.filter((line) => line.includes('auth:')).flatMap((line) => ownScopes(scopeOf(line)));
  return [...new Set(found)].sort();
}

function scopeOf(line: string): unknown {
  try {
    return (JSON.parse(line) as Document | null)?.scope;
  } catch {
    return undefined; // the server says what is wrong with it
  }
}

/** @returns whether to go on */
async function importBatch(batch: Batch, token: string, run: Run, counts: Counts): Promise<boolean> {
  const query = run.mode === 'check' ? '?dry_run=true' : run.mode === 'partial' ? '?partial=true' : '';
  const request = {
    method: 'POST',
    path: `/clients/import${query}`,
    lines: `${batch.lines.join('\n')}\n`,
    authorization: `Bearer ${token}`,
  } as const;
  const answer = await insist(run.target, request, run.progress);
  const { created, unchanged, failed, errors } = answer.document;
  // Of a batch that is refused as a whole each line is told, and none was created.
  const isRefused = answer.status >= 400 && Array.isArray(errors);
  if (!isRefused) requireSuccess(run.target, answer);
  counts.created += Number(created ?? 0);
  counts.unchanged += Number(unchanged ?? 0);
  const lineErrors = documentsOf(errors).map((error) => lineError(error, batch));
  counts.failed += isRefused ? new Set(lineErrors.map(({ line }) => line)).size : Number(failed ?? 0);
  tell(lineErrors, run, counts);
  const what = run.mode === 'check' ? 'checked' : 'created';
  run.progress.show(`${what} ${batch.line + batch.lines.length - 1} lines`, batch.bytes, run.size);
  return !isRefused;
}

/** A batch that may have come through is sent again all the same: then its clients are unchanged. @throws CommandError */
async function insist(target: Target, request: ApiRequest, progress: Progress): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send(target, request).catch((error: unknown) => {
      if (error instanceof CommandError && error.exitCode === EXIT.unavailable && attempt < ATTEMPTS) return undefined;
      throw error;
    });
    const isAway = answer === undefined || answer.status === 503 || answer.status === 502 || answer.status === 429;
    if (!isAway || attempt === ATTEMPTS) return answer as Answer;
    progress.show('the server cannot do it now: trying again', 0, undefined);
    await sleep(Math.min(RETRY_MS_MAX, RETRY_MS * attempt));
  }
}

function lineError({ pointer, detail }: Document, batch: Batch): LineError {
  const [, index = '0', rest = ''] = /^\/(\d+)(.*)$/.exec(textOf(pointer)) ?? [];
  return { line: batch.line + Number(index), pointer: rest, detail: textOf(detail) };
}

function tell(errors: readonly LineError[], { isJson, progress }: Run, counts: Counts): void {
  if (errors.length > 0) progress.clear();
  for (const error of errors) {
    if (counts.errors.length < ERRORS_KEPT) counts.errors.push(error);
    if (!isJson) writeError(`line ${error.line}: ${[error.pointer, error.detail].filter((part) => part !== '').join(' ')}`);
  }
}

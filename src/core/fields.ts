/** JSON bodies of the management endpoints, read by a schema: what is wrong with them, field by field (RFC 9457 §3). */
import type { z } from 'zod';
import { type FieldProblem, Problem } from './errors.ts';

/**
 * @param detail constant text for what the body is: `the rotation is not valid`
 * @throws Problem `invalid_request` — one entry per field that is wrong
 */
export function readFields<T extends z.ZodType>(schema: T, document: Readonly<Record<string, unknown>>, detail: string): z.output<T> {
  const result = schema.safeParse(document);
  if (!result.success) throw new Problem('invalid_request', detail, result.error.issues.flatMap(fieldProblems));
  return result.data;
}

export function fieldProblems(issue: z.core.$ZodIssue): readonly FieldProblem[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: pointer([...issue.path, key]), detail: 'is not a known member' }));
  return [{ pointer: pointer(issue.path), detail: issue.message }];
}

/** RFC 6901. */
export function pointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

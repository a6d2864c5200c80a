/** The catalogue of scopes: what there is to give, so that a typing error is no scope of its own (docs/scopes.md). */
import { z } from 'zod';
import { editDistance } from './edit-distance.ts';
import { type FieldProblem, Problem } from './errors.ts';
import { readFields } from './fields.ts';
import { ownScopes, parseScope } from './scope.ts';

/** `open`: a scope that nobody has named enters the catalogue when a client gets it. `catalogue`: it is refused. */
export const SCOPE_POLICIES = ['open', 'catalogue'] as const;
export type ScopePolicy = (typeof SCOPE_POLICIES)[number];

export interface CataloguedScope {
  readonly name: string;
  readonly description: string | undefined;
  readonly createdAt: Date;
  /** how many hold it, of those that the asker administers */
  readonly clients: number;
}

const NOT_VALID = 'the scope is not valid';
const NAME_CHARACTERS_MAX = 256;
const DESCRIPTION = z
  .string()
  .min(1)
  .max(500)
  .regex(/^\P{Cc}*$/u, 'must not contain control characters');
export const NEW_SCOPE = z.strictObject({
  name: z
    .string()
    .max(NAME_CHARACTERS_MAX)
    .refine((name) => parseScope(name)?.length === 1, 'must be one scope token (RFC 6749 §3.3)')
    .refine((name) => !/^\.{1,2}$/.test(name), 'cannot be named in a path'),
  description: DESCRIPTION.optional(),
});
export const CHANGED_SCOPE = z.strictObject({ description: DESCRIPTION.nullable() });

/** The body of `POST /scopes`. @throws Problem `invalid_request`, `conflict` — a name that belongs to this server */
export function parseNewScope(document: Readonly<Record<string, unknown>>): Pick<CataloguedScope, 'name' | 'description'> {
  const { name, description } = readFields(NEW_SCOPE, document, NOT_VALID);
  requireForeign(name);
  return { name, description };
}

/** The body of `PATCH /scopes/{scope}`. @throws Problem `invalid_request` */
export function parseScopeChange(document: Readonly<Record<string, unknown>>): Pick<CataloguedScope, 'description'> {
  return { description: readFields(CHANGED_SCOPE, document, NOT_VALID).description ?? undefined };
}

/** What the scopes of this server's own API mean is not for others to say. @throws Problem `conflict` */
export function requireForeign(name: string): void {
  if (ownScopes([name]).length > 0) throw new Problem('conflict', 'scopes that begin with auth: are of this server, and are what they are');
}

const COMPARED_CHARACTERS_MAX = 48;
const NAMED_MAX = 10;
/** Each is compared with thousands, while all others wait. */
const HINTS_MAX = 3;

/**
 * What to say of scopes that are not in the catalogue; of the first of them with what may have been meant.
 *
 * @param known of the catalogue, as many as are cheap to compare
 */
export function unknownScopeFields(unknown: readonly string[], known: readonly string[]): ReadonlyMap<string, FieldProblem> {
  return new Map(
    unknown.map((name, index) => {
      const meant = index >= HINTS_MAX || name.length > COMPARED_CHARACTERS_MAX ? undefined : nearest(name, known);
      const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
      return [name, { pointer: '/scope', detail: `${name.slice(0, NAME_CHARACTERS_MAX)} is not in the scope catalogue${hint}` }];
    }),
  );
}

/** Says which scopes of a client are not in the catalogue. @param fields of {@link unknownScopeFields} */
export function unknownScopes(fields: ReadonlyMap<string, FieldProblem>): Problem {
  return new Problem('invalid_client_metadata', 'the client metadata is not valid', [...fields.values()].slice(0, NAMED_MAX));
}

/** At most one in four characters is another, and four in all. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const distanceMax = Math.min(4, Math.max(1, Math.floor(name.length / 4)));
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const other of known) {
    if (Math.abs(other.length - name.length) > distanceMax) continue;
    const distance = editDistance(name, other, distanceMax);
    if (distance <= distanceMax && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name: other, distance };
  }
  return best?.name;
}

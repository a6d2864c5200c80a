/** How an operation is described: OpenAPI 3.1 as it is on the wire, and builders for what operations of a kind have in common. */
import { z } from 'zod';
import { type ErrorStyle, errorCodes, titleOf } from '../http/errors.ts';

/** JSON Schema 2020-12. */
export type Schema = Readonly<Record<string, unknown>>;
export type Ref = { readonly $ref: string };

export const TAGS = {
  OAuth: 'Tokens: issue, introspect, revoke. For clients and resource servers.',
  Clients: 'Who may ask for tokens, with which secrets, for what.',
  Scopes: 'What there is to give, and who holds it.',
  Registration: 'Clients that register themselves. There only if `AUTH_REGISTRATION` says so; else 404.',
  Revocations: 'Bulk revocation, and the feed of what has ended.',
  Keys: 'Signing keys and their schedule.',
  Audit: 'Who did what.',
  Service: 'Health, metrics, and this description.',
} as const;

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'header' | 'path';
  readonly description: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface Header {
  readonly description: string;
  readonly required?: boolean;
  readonly schema: Schema;
}

export interface Media {
  readonly schema: Schema;
  readonly examples?: Readonly<Record<string, { readonly summary?: string; readonly value: unknown }>>;
}
export type Content = Readonly<Record<string, Media>>;

export interface Body {
  readonly required: boolean;
  readonly content: Content;
}

export interface Answer {
  readonly description: string;
  readonly headers?: Readonly<Record<string, Header | Ref>>;
  readonly content?: Content;
}
export type Answers = Readonly<Record<number, Answer | Ref>>;

/** An operation object, OpenAPI 3.1.1 §4.8.10. The parameters in its path are added where the document is put together. */
export interface Operation {
  readonly operationId: string;
  readonly tags: readonly [keyof typeof TAGS];
  readonly summary: string;
  readonly description?: string;
  /** any of these; an empty one: nothing in a header */
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly (Parameter | Ref)[];
  readonly requestBody?: Body;
  readonly responses: Answers;
}

/** By `METHOD /path`, as in `ROUTES` of `http/app.ts`. */
export type Operations = Readonly<Record<string, Operation>>;

interface Described extends Omit<Operation, 'security' | 'responses'> {
  /** those that succeed, and refusals that are not like those of others */
  readonly answers: Answers;
}

/** @param options.scopes any of them opens the door @param options.refusals beyond those that every operation has: 404, 409, … */
export function management({
  scopes,
  refusals = [],
  answers,
  parameters = [],
  ...operation
}: Described & { readonly scopes: readonly string[]; readonly refusals?: readonly number[] }): Operation {
  const always = operation.requestBody ? [400, 401, 403, 413, 415, 503] : [400, 401, 403, 503];
  const named = Object.entries(answers).map(([status, answer]): [string, Answer | Ref] => [
    status,
    '$ref' in answer ? answer : { ...answer, headers: { ...headers('X-Request-Id'), ...answer.headers } },
  ]);
  return {
    ...operation,
    security: scopes.flatMap((scope) => [{ oauth2: [scope] }, { bearer: [scope] }]),
    parameters: [...parameters, { $ref: '#/components/parameters/X-Request-Id' }],
    responses: { ...refused('management', [...always, ...refusals]), ...Object.fromEntries(named) },
  };
}

/** One that anybody may ask for. */
export function open({ answers, ...operation }: Described): Operation {
  return { ...operation, security: [], responses: answers };
}

/** References to the answers that {@link refusalAnswers} describes. */
export function refused(style: ErrorStyle, statuses: readonly number[]): Answers {
  return Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/${answerName(style, status)}` }]));
}

const REFUSALS: Readonly<Record<ErrorStyle, readonly number[]>> = {
  oauth: [400, 406, 413, 415, 429, 503],
  management: [400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 503],
};
const REFUSAL_HEADERS: Readonly<Record<number, readonly string[]>> = {
  401: ['WWW-Authenticate'],
  415: ['Accept'],
  429: ['Retry-After'],
  503: ['Retry-After'],
};

/** Where not every code of a status is to be met: those of metadata only where a client is written. */
const SHARED_CODES: Readonly<Record<string, readonly string[]>> = { Problem400: ['invalid_request'] };

/** What each error answer looks like: from the tables that make them. */
export function refusalAnswers(): Readonly<Record<string, Answer>> {
  const all = (Object.keys(REFUSALS) as ErrorStyle[]).flatMap((style) => REFUSALS[style].map((status) => ({ style, status })));
  return Object.fromEntries(
    all.map(({ style, status }) => [answerName(style, status), refusalAnswer(style, status, SHARED_CODES[answerName(style, status)])]),
  );
}

/** @param codes what `error` may be */
export function refusalAnswer(style: ErrorStyle, status: number, codes = errorCodes(status, style)): Answer {
  const [code = ''] = codes;
  const isProblem = style === 'management';
  const schema = isProblem
    ? { ...ref('Problem'), properties: { status: { const: status }, error: { enum: codes } } }
    : { ...ref('OAuthError'), properties: { error: { enum: codes } } };
  const detail = 'what was wrong, for people';
  const value = isProblem
    ? { type: 'about:blank', title: titleOf(status), status, detail, error: code }
    : { error: code, error_description: detail };
  return {
    description: `${titleOf(status)}: ${codes.map((each) => `\`${each}\``).join(', ')}`,
    headers: headers(...(isProblem ? ['X-Request-Id'] : []), ...(REFUSAL_HEADERS[status] ?? [])),
    content: { [isProblem ? 'application/problem+json' : 'application/json']: { schema, examples: { [code]: { value } } } },
  };
}

function answerName(style: ErrorStyle, status: number): string {
  return `${style === 'oauth' ? 'OAuth' : 'Problem'}${status}`;
}

/** @param name of a schema in the document's components */
export function ref(name: string): Ref {
  return { $ref: `#/components/schemas/${name}` };
}

/** Headers that are always there, by their names in the document's components. */
export function headers(...names: readonly string[]): Readonly<Record<string, Ref>> {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** @param examples by what they show; the first one is what the pages show as a command */
export function json(schema: Schema, examples: Readonly<Record<string, unknown>>, mediaType = 'application/json'): Content {
  const named = Object.entries(examples).map(([name, value]) => [name.replaceAll(/[^\w]+/g, '-'), { summary: name, value }]);
  return { [mediaType]: { schema, examples: Object.fromEntries(named) } };
}

/** A body as the schema that reads it has it; refinements are more than that can say. @param meanings of its members, for the pages */
export function bodyOf(
  schema: z.ZodType,
  meanings: Readonly<Record<string, string>>,
): Schema & { readonly properties: Readonly<Record<string, Schema>> } {
  const { $schema: _, properties = {}, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  const described = Object.entries(properties).map(([name, member]) => [name, { ...(member as Schema), description: meanings[name] }]);
  return { ...rest, properties: Object.fromEntries(described) };
}

/** All of these members and no other, those without `?` at the end of their names always. */
export function object(members: Readonly<Record<string, Schema>>, more: Schema = {}): Schema {
  const entries = Object.entries(members);
  const required = entries.flatMap(([name]) => (name.endsWith('?') ? [] : [name]));
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace(/\?$/, ''), schema])),
    ...(required.length > 0 && { required }),
    ...more,
  };
}

export function text(description: string, more: Schema = {}): Schema {
  return { type: 'string', description, ...more };
}

export function instant(description: string): Schema {
  return text(description, { format: 'date-time' });
}

export function count(description: string): Schema {
  return { type: 'integer', minimum: 0, description };
}

/** `{"items": […], "next_cursor": "…"}` */
export function page(item: Schema): Schema {
  return object({ items: { type: 'array', items: item }, 'next_cursor?': text('for `cursor`; absent on the last page') });
}

/** Of the query. */
export function query(name: string, description: string, schema: Schema = { type: 'string' }): Parameter {
  return { name, in: 'query', description, schema };
}

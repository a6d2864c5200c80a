/** The description of the API as a judge: which answers fit it, and which requests it allows or forbids. */
import assert from 'node:assert/strict';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { ApiDocument } from '../../src/openapi/document.ts';
import type { Answer as DescribedAnswer, Header, Operation, Parameter, Ref, Schema } from '../../src/openapi/operation.ts';
import type { Answer } from './client.ts';

export interface DescribedOperation {
  /** `GET /clients/{client_id}` */
  readonly name: string;
  readonly method: string;
  /** with the path of its server */
  readonly path: string;
  readonly operation: Operation;
  readonly parameters: readonly Parameter[];
}

const FORMATS = {
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
};

export interface Judge {
  readonly operations: readonly DescribedOperation[];
  /** Follows a reference into the document's components. */
  readonly resolve: <T extends object>(given: T | Ref) => T;
  /** Whether a value of a request fits. */
  readonly allows: (schema: Schema, value: unknown) => boolean;
  /** That this operation may answer so: status, headers, media type, body without a member that is not described. @throws AssertionError */
  readonly mustFit: (operation: DescribedOperation, answer: Answer) => void;
  /** That each example is what it is an example of. @throws AssertionError */
  readonly examplesMustFit: () => void;
}

export function openJudge(api: ApiDocument): Judge {
  const [requests, answers] = [validators(api, (schema) => schema), validators(api, closed)];
  const resolve = <T extends object>(given: T | Ref): T =>
    '$ref' in given && /^#\/components\/(parameters|responses|headers|schemas)\//.test(String(given.$ref))
      ? (String(given.$ref)
          .slice(2)
          .split('/')
          // biome-ignore lint/suspicious/noExplicitAny: a walk through JSON
          .reduce((at: any, step) => at[step], api) as T)
      : (given as T);
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]) =>
      method === 'parameters' || method === 'servers'
        ? []
        : [
            {
              name: `${method.toUpperCase()} ${path}`,
              method: method.toUpperCase(),
              path: new URL((item.servers ?? api.servers)[0]?.url ?? '').pathname.replace(/\/$/, '') + path,
              operation: operation as Operation,
              parameters: [...(item.parameters ?? []), ...((operation as Operation).parameters ?? [])].map((each) =>
                resolve<Parameter>(each),
              ),
            },
          ],
    ),
  );

  function mustFit({ name, operation }: DescribedOperation, { status, headers, text, body }: Answer): void {
    const told = `${name}: ${status} ${text.slice(0, 500)}`;
    const given = operation.responses[status];
    assert.ok(given, `a status that is not described: ${told}`);
    const described = resolve<DescribedAnswer>(given);
    for (const [header, reference] of Object.entries(described.headers ?? {})) {
      const { required, schema } = resolve<Header>(reference);
      const value = headers.get(header);
      assert.ok(value !== null || !required, `no ${header}: ${told}`);
      assert.ok(value === null || answers(schema)(value), `${header} is ${value}: ${told}`);
    }
    if (!described.content) {
      assert.equal(text, '', told);
      return;
    }
    const mediaType = headers.get('content-type')?.split(';', 1)[0] ?? '';
    const media = described.content[mediaType];
    assert.ok(media, `${mediaType} is not described: ${told}`);
    const validate = answers(media.schema);
    assert.ok(validate(mediaType.endsWith('json') ? body : text), `${JSON.stringify(validate.errors)}: ${told}`);
  }

  function examplesMustFit(): void {
    for (const { name, operation, parameters } of operations) {
      for (const { name: parameter, example, schema } of parameters)
        assert.ok(example === undefined || requests(schema)(example), `${name}: ${parameter}`);
      const contents = [
        [requests, operation.requestBody?.content],
        ...Object.values(operation.responses).map((answer) => [answers, resolve<DescribedAnswer>(answer).content] as const),
      ] as const;
      for (const [validatorOf, content = {}] of contents) {
        for (const [mediaType, { schema, examples = {} }] of Object.entries(content)) {
          const isDescription = operation.operationId === 'getDescription' || operation.operationId === 'getPages';
          assert.ok(isDescription || Object.keys(examples).length > 0, `${name} has no example of ${mediaType}`);
          for (const [example, { value }] of Object.entries(examples)) {
            const validate = validatorOf(schema);
            assert.ok(validate(value), `${name}, ${mediaType}, ${example}: ${JSON.stringify(validate.errors)}`);
          }
        }
      }
    }
  }
  return { operations, resolve, allows: (schema, value) => requests(schema)(value) === true, mustFit, examplesMustFit };
}

/** Strict: a word that JSON Schema does not know, or a reference to nothing, is an error. */
function validators(api: ApiDocument, change: (schema: Schema) => Schema): (schema: Schema) => ValidateFunction {
  const own = (schema: unknown) => change(JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', 'schema:')));
  const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true, formats: FORMATS });
  for (const [name, schema] of Object.entries(api.components.schemas)) ajv.addSchema(own(schema), `schema:${name}`);
  const known = new Map<string, ValidateFunction>();
  return (schema) => {
    const key = JSON.stringify(schema);
    const validate = known.get(key) ?? ajv.compile(own(schema));
    known.set(key, validate);
    return validate;
  };
}

/** Readers of the API have to expect members that come later; this test does not. */
function closed(schema: unknown): Schema {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    const walked = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walk(part)]));
    const isOpen = 'additionalProperties' in value || typeof (value as Schema).properties !== 'object';
    return isOpen ? walked : { ...walked, unevaluatedProperties: false };
  };
  return walk(schema) as Schema;
}

const OFTEN: Readonly<Record<string, readonly unknown[]>> = {
  scope: ['', 'invoices:read', 'a b'],
  claims: [{ tenant: 'acme' }],
  redirect_uris: [['https://app.example.com/callback']],
  resources: [['https://api.example.com']],
};

/** What the generator reads of a schema. */
interface Shape {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: Schema;
}
type Knowing = Pick<Judge, 'resolve' | 'allows'>;

/** Values that a schema allows. Where the server asks for more than a schema can say, often one that it takes. */
export function valuesOf(schema: Schema, { resolve, allows }: Knowing): fc.Arbitrary<unknown> {
  const any = (given: Schema, depth: number): fc.Arbitrary<unknown> => {
    const shape: Shape = resolve<Schema>(given);
    if ('const' in shape) return fc.constant(shape.const);
    if (shape.enum) return fc.constantFrom(...shape.enum);
    if (shape.type === 'object') return members(shape, depth);
    const alternatives = shape.anyOf ?? shape.oneOf;
    if (alternatives) return fc.oneof(...alternatives.map((each) => any(each, depth)));
    if (Array.isArray(shape.type)) return fc.oneof(...shape.type.map((type) => any({ ...shape, type }, depth)));
    switch (shape.type) {
      case 'string':
        return strings(shape);
      case 'integer':
        return fc.integer({ min: shape.minimum ?? -1000, max: shape.maximum ?? 1_000_000 });
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      case 'array':
        return 'not' in (shape.items ?? {}) ? fc.constant([]) : fc.array(any(shape.items ?? {}, depth + 1), { maxLength: 3 });
      default:
        return fc.jsonValue({ maxDepth: 1 });
    }
  };
  const members = ({ properties = {}, required = [], oneOf = [], propertyNames }: Shape, depth: number): fc.Arbitrary<unknown> => {
    if (propertyNames) return fc.dictionary(strings(propertyNames), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 });
    const record = (needed: readonly string[], without: readonly string[]) => {
      const kept = Object.entries(properties).filter(([name, { readOnly }]) => !readOnly && !without.includes(name));
      const arbitraries = kept.map(([name, member]): [string, fc.Arbitrary<unknown>] => {
        const often = OFTEN[name] ?? (name.endsWith('_uri') ? ['https://example.com/x'] : undefined);
        const value = any(member, depth + 1);
        return [name, often && depth === 0 ? fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...often) }, value) : value];
      });
      return fc.record(Object.fromEntries(arbitraries), { requiredKeys: [...needed], noNullPrototype: true });
    };
    const branches = oneOf as readonly { readonly required: readonly string[]; readonly not?: { readonly required: readonly string[] } }[];
    if (branches.length === 0) return record(required, []);
    return fc.oneof(
      ...branches.map((branch) => {
        const others = branches
          .flatMap((each) => each.required)
          .filter((name) => !branch.required.includes(name) && name !== 'issued_before');
        return record([...required, ...branch.required], [...others, ...(branch.not?.required ?? [])]);
      }),
    );
  };
  return any(schema, 0).filter((value) => allows(schema, value));
}

function strings({ format, pattern, minLength = 0, maxLength = 40 }: Shape): fc.Arbitrary<string> {
  if (format === 'uuid') return fc.uuid();
  if (format === 'date-time')
    return fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }).map((date) => date.toISOString());
  if (pattern === undefined || pattern.includes('\\P'))
    return fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 40) });
  return fc.stringMatching(new RegExp(pattern));
}

const ODD: readonly unknown[] = [null, true, -1.5, 'x\u0000y', '', [], [null], {}, { a: { b: 1 } }, 'x'.repeat(3000)];

/** Of each member. */
const ODD_VALUES_MAX = 4;

/** Bodies that a schema forbids, each for one reason, made from one that it allows. */
export function forbiddenBodies(
  schema: Schema,
  good: Readonly<Record<string, unknown>>,
  { resolve, allows }: Pick<Judge, 'resolve' | 'allows'>,
) {
  const { properties = {}, required = [] } = resolve<Schema>(schema) as {
    properties?: Readonly<Record<string, Schema>>;
    required?: readonly string[];
  };
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([each]) => each !== name));
  const odd = Object.entries(properties).flatMap(([name], index) => {
    const bodies = ODD.map((_, at) => ODD[(at + index) % ODD.length]).map((value) => ({ ...good, [name]: value }));
    return bodies
      .filter((body) => !allows(schema, body))
      .slice(0, ODD_VALUES_MAX)
      .map((body) => [`${name}: ${JSON.stringify(body)}`, body] as const);
  });
  const others = [
    ...required.map((name) => [`without ${name}`, without(name)] as const),
    ['an unknown member', { ...good, unknown_member: 1 }] as const,
  ];
  return [...others.filter(([, body]) => !allows(schema, body)), ...odd];
}

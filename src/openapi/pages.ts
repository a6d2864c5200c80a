/** The description as a page to be read: no script, nothing from elsewhere. */
import { curl, FORM_TYPE } from './curl.ts';
import type { ApiDocument } from './document.ts';
import { html, type Markup, prose } from './markup.ts';
import type { Answer, Content, Header, Operation, Parameter, Ref, Schema } from './operation.ts';
import { STYLE } from './style.ts';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** What is shown of a schema. */
interface Shape extends Schema {
  readonly $ref?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
  readonly format?: string;
}

interface Entry {
  readonly method: string;
  readonly path: string;
  readonly url: string;
  readonly operation: Operation;
}

export function renderPage(api: ApiDocument): string {
  const entries = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method): readonly Entry[] => {
      const operation = item[method] as Operation | undefined;
      if (!operation) return [];
      const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
      const server = (item.servers ?? api.servers)[0]?.url ?? '';
      return [{ method: method.toUpperCase(), path, url: server + path, operation: { ...operation, parameters } }];
    }),
  );
  const groups = api.tags.map((tag) => ({ ...tag, entries: entries.filter(({ operation }) => operation.tags[0] === tag.name) }));
  const { markup } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${api.info.title}: the API</title>
<style>${{ markup: STYLE }}</style>
</head>
<body>
<nav aria-label="Operations">
<p><a href="#top"><strong>${api.info.title}</strong> ${api.info.version}</a></p>
${groups.map(
  (group) => html`<p class="tag">${group.name}</p>
<ul>${group.entries.map(({ method, path, operation }) => html`<li><a href="#${operation.operationId}">${badge(method)} <span>${path}</span></a></li>`)}</ul>
`,
)}<p class="tag"><a href="#schemas">Schemas</a></p>
</nav>
<main id="top">
<h1>${api.info.title} <small>${api.info.version}</small></h1>
<p>${prose(api.info.description)}</p>
<p>Issuer: <code>${api.servers[0]?.url ?? ''}</code>. As OpenAPI 3.1: <a href="openapi.json">openapi.json</a>.</p>
${groups.map(
  (group) => html`<h2>${group.name}</h2>
<p>${group.description}</p>
${group.entries.map((entry) => operationSection(entry, api))}`,
)}
<h2 id="schemas">Schemas</h2>
${Object.entries(api.components.schemas).map(
  ([name, schema]) => html`<section id="schema-${name}"><h3>${name}</h3>
${schemaBlock(schema)}
</section>
`,
)}</main>
</body>
</html>
`;
  return markup;
}

function operationSection({ method, path, url, operation }: Entry, { components }: ApiDocument): Markup {
  const parameters = (operation.parameters ?? []).map((parameter) => resolve<Parameter>(parameter, components.parameters));
  const answers = Object.entries(operation.responses).map(
    ([status, answer]) => [status, resolve<Answer>(answer, components.responses)] as const,
  );
  const exampleUrl = parameters.reduce((filled, { name, example }) => filled.replace(`{${name}}`, String(example)), url);
  return html`<section id="${operation.operationId}" class="operation">
<h3>${badge(method)} <code>${path}</code></h3>
<p><strong>${operation.summary}.</strong> ${prose(operation.description ?? '')}</p>
<p class="access">${prose(access(operation))}</p>
${parameters.length === 0 ? '' : html`<h4>Parameters</h4>\n<dl>${parameters.map(parameterEntry)}</dl>`}
${operation.requestBody ? html`<h4>Body</h4>\n${contentBlock(operation.requestBody.content)}` : ''}
<h4>Example</h4>
<pre>${curl(method, exampleUrl, operation)}</pre>
<h4>Answers</h4>
${answers.map(([status, answer]) => answerBlock(status, answer, components.headers))}
</section>
`;
}

function parameterEntry({ name, in: place, required, description, schema }: Parameter): Markup {
  return html`<dt><code>${name}</code> <span class="type">${place}, ${typeOf(schema)}${required ? ', required' : ''}</span></dt><dd>${prose(description)}</dd>`;
}

/** Those that are refusals are told in a line; who wants to see one opens it. */
function answerBlock(status: string, { description, headers = {}, content = {} }: Answer, known: Readonly<Record<string, Header>>): Markup {
  const named = Object.entries(headers).map(([name, header]) => ({ name, ...resolve<Header>(header, known) }));
  return html`<details${Number(status) < 300 ? html` open` : ''}><summary><span class="status s${status.slice(0, 1)}">${status}</span> ${prose(description)}</summary>
${named.length === 0 ? '' : html`<dl>${named.map((header) => html`<dt><code>${header.name}</code> <span class="type">header</span></dt><dd>${prose(header.description)}</dd>`)}</dl>`}
${contentBlock(content)}
</details>
`;
}

function contentBlock(content: Content): Markup {
  return html`${Object.entries(content).map(
    ([mediaType, { schema, examples = {} }]) => html`<p class="media"><code>${mediaType}</code></p>
${schemaBlock(schema)}
${Object.values(examples).map(({ summary = '', value }) => html`<p class="caption">${summary}</p>\n<pre>${exampleText(value, mediaType)}</pre>\n`)}`,
  )}`;
}

function exampleText(value: unknown, mediaType: string): string {
  if (mediaType === FORM_TYPE) return new URLSearchParams(value as Record<string, string>).toString();
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

function schemaBlock(schema: Shape): Markup {
  const { description, title, properties, oneOf = [], $ref } = schema;
  return html`${title === undefined ? '' : html`<p class="title">${title}</p>`}
${description === undefined ? '' : html`<p>${prose(description)}</p>`}
${$ref === undefined ? '' : html`<p>${typeOf(schema)}</p>`}
${memberList(schema)}
${/* Beside members they say which of these go together, as the description does. */ properties ? '' : oneOf.map(schemaBlock)}`;
}

/** Of an object, or of the objects in an array. */
function memberList({ properties, required = [], items }: Shape): Markup {
  if (!properties) return items ? memberList(items) : html``;
  return html`<dl>${Object.entries(properties).map(([name, member]) => memberEntry(name, member, required.includes(name)))}</dl>`;
}

function memberEntry(name: string, schema: Shape, isRequired: boolean): Markup {
  const notes = [...(isRequired ? ['required'] : []), ...limits(schema)].map((note) => `, ${note}`).join('');
  const meaning = prose(schema.description ?? '');
  return html`<dt><code>${name}</code> <span class="type">${typeOf(schema)}${notes}</span></dt><dd>${meaning}${memberList(schema)}</dd>`;
}

function typeOf(schema: Shape): Markup {
  const { $ref, type, items, enum: values, anyOf, oneOf, format } = schema;
  if ($ref !== undefined) {
    const name = $ref.split('/').at(-1) ?? '';
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if ('const' in schema) return html`${JSON.stringify(schema.const)}`;
  if (values) return html`${values.map((value) => JSON.stringify(value)).join(' | ')}`;
  const alternatives = anyOf ?? (type === undefined ? oneOf : undefined);
  if (alternatives) return html`${alternatives.map((each, index) => html`${index === 0 ? '' : ' | '}${typeOf(each)}`)}`;
  if ('not' in schema) return html`nothing`;
  if (type === 'array') return html`array of ${typeOf(items ?? {})}`;
  return html`${format ?? (Array.isArray(type) ? type.join(' | ') : String(type ?? 'any'))}`;
}

const LIMITS: Readonly<Record<string, string>> = {
  minimum: 'from',
  maximum: 'up to',
  minLength: 'characters from',
  maxLength: 'characters up to',
  maxItems: 'items up to',
  default: 'default',
};

function limits(schema: Schema): readonly string[] {
  return Object.entries(LIMITS).flatMap(([name, words]) =>
    schema[name] === undefined || schema[name] === Number.MAX_SAFE_INTEGER ? [] : [`${words} ${JSON.stringify(schema[name])}`],
  );
}

function access({ security }: Operation): string {
  const scopes = [...new Set(security.flatMap((way) => way.bearer ?? []))].map((scope) => `\`${scope}\``);
  const ways = [
    ...(security.some((way) => 'client_secret_basic' in way) ? ['the client’s id and secret, by Basic or in the form'] : []),
    ...(scopes.length > 0 ? [`a bearer token with ${scopes.join(' or ')}`] : []),
  ];
  return ways.length === 0 ? 'Authorization: none.' : `Authorization: ${ways.join('; or ')}.`;
}

function badge(method: string): Markup {
  return html`<span class="method ${method.toLowerCase()}">${method}</span>`;
}

function resolve<T extends object>(given: T | Ref, known: Readonly<Record<string, T>>): T {
  if (!('$ref' in given)) return given;
  const found = known[given.$ref.split('/').at(-1) ?? ''];
  if (!found) throw new Error(`${given.$ref} is not there`);
  return found;
}

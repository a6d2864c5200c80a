/** The whole description of the API, OpenAPI 3.1: every operation in its place. How to add one: CONTRIBUTING.md. */
import { METADATA_PATH, metadataPath } from '../http/metadata.ts';
import { transferOperations, transferSchemas } from './client-transfer.ts';
import { clientOperations, clientSchemas } from './clients.ts';
import { HEADERS, PARAMETERS, SCHEMAS, securitySchemes } from './components.ts';
import { metadataOperations, oauthOperations, oauthSchemas } from './oauth.ts';
import {
  type Answer,
  type Header,
  type Operation,
  type Operations,
  type Parameter,
  type Ref,
  refusalAnswers,
  type Schema,
  TAGS,
} from './operation.ts';
import { operatorOperations, operatorSchemas, rootOperations } from './operators.ts';
import { registrationOperations, registrationSchemas } from './registration.ts';
import { revocationOperations, revocationSchemas } from './revocations.ts';
import { scopeOperations, scopeSchemas } from './scopes.ts';

/** Relative to the issuer, in the order of the pages. */
export const OPERATIONS: Operations = {
  ...oauthOperations,
  ...clientOperations,
  ...transferOperations,
  ...scopeOperations,
  ...registrationOperations,
  ...revocationOperations,
  ...operatorOperations,
};
/** At the listener's root. */
export const ROOT_OPERATIONS: Operations = { ...metadataOperations, ...rootOperations };
const ALL_SCHEMAS: Readonly<Record<string, Schema>> = {
  ...SCHEMAS,
  ...oauthSchemas,
  ...clientSchemas,
  ...transferSchemas,
  ...scopeSchemas,
  ...registrationSchemas,
  ...revocationSchemas,
  ...operatorSchemas,
};

export interface ApiDocument {
  readonly openapi: '3.1.1';
  readonly info: { readonly title: string; readonly version: string; readonly summary: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Answer>>;
    readonly headers: Readonly<Record<string, Header>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly securitySchemes: Readonly<Record<string, Schema>>;
  };
}

/** Beside these, the operations by their methods in small letters. */
export interface PathItem {
  readonly parameters?: readonly Ref[];
  readonly servers?: readonly { readonly url: string }[];
  readonly [method: string]: Operation | readonly unknown[] | undefined;
}

const DESCRIPTION = [
  'An OAuth 2 authorization server: reference tokens that stand for JWTs, introspection, and revocation that is true.',
  'Errors are those of RFC 6749 §5.2 at the OAuth endpoints and of RFC 9457 at the management endpoints; a method that a path does not have is 405, another path 404.',
  'A store that does not answer is 503 with `Retry-After`, at every operation that needs one: no answer is ever a guess.',
].join(' ');

/** @param issuer as configured @param version of this program */
export function describeApi(issuer: string, version: string): ApiDocument {
  const { origin, pathname } = new URL(issuer);
  const issuerPath = pathname.replace(/\/$/, '');
  const paths = new Map<string, PathItem>();
  const add = (operations: Operations, place: (path: string) => string, more: Pick<PathItem, 'servers'>) => {
    for (const [key, operation] of Object.entries(operations)) {
      const [method = '', route = ''] = key.split(' ');
      const names = [...route.matchAll(/:(\w+)/g)].map(([, name = '']) => name);
      const path = place(route.replaceAll(/:(\w+)/g, '{$1}'));
      const parameters = names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
      paths.set(path, { ...more, ...(names.length > 0 && { parameters }), ...paths.get(path), [method.toLowerCase()]: operation });
    }
  };
  add(OPERATIONS, (path) => path, {});
  // Where the issuer has a path, these are not below it.
  const servers = issuerPath === '' ? {} : { servers: [{ url: origin }] };
  add(ROOT_OPERATIONS, (path) => (path === METADATA_PATH ? metadataPath(issuerPath) : path), servers);
  return {
    openapi: '3.1.1',
    info: { title: 'auth', version, summary: 'An OAuth 2 authorization server.', description: DESCRIPTION },
    servers: [{ url: issuer }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: Object.fromEntries(paths),
    components: {
      schemas: ALL_SCHEMAS,
      responses: refusalAnswers(),
      headers: HEADERS,
      parameters: PARAMETERS,
      securitySchemes: securitySchemes(issuer),
    },
  };
}

/** `/scopes`: the catalogue. */
import { CHANGED_SCOPE, NEW_SCOPE } from '../core/scope-catalogue.ts';
import { parameters } from './components.ts';
import { bodyOf, count, headers, instant, json, management, type Operations, object, page, ref, type Schema, text } from './operation.ts';

const SCOPE: Readonly<Record<string, Schema>> = {
  name: text('a scope token, RFC 6749 §3.3'),
  'description?': text('what it allows'),
  clients: count('how many clients hold it, of those that the caller administers'),
  created_at: instant('when it came into the catalogue'),
};

export const scopeSchemas: Readonly<Record<string, Schema>> = {
  ScopeOrder: {
    ...bodyOf(NEW_SCOPE, { name: 'one scope token; not one that begins with `auth:`', description: 'what it allows' }),
    description: 'A scope for the catalogue.',
  },
  ScopePatch: {
    ...bodyOf(CHANGED_SCOPE, { description: 'what it allows; `null` takes that away' }),
    description: 'A merge patch (RFC 7396).',
  },
  Scope: object(SCOPE, { description: 'A scope of the catalogue.' }),
  ScopeWithHolders: object(
    {
      ...SCOPE,
      items: { type: 'array', items: { type: 'string' }, description: 'a page of the clients that hold it, by their ids' },
      'next_cursor?': text('for `cursor`; absent on the last page'),
    },
    { description: 'A scope, and who holds it.' },
  ),
};

const EXAMPLE = { name: 'invoices:read', description: 'see invoices', clients: 1, created_at: '2026-11-24T09:08:10.196Z' };
const READERS = ['auth:clients:read', 'auth:clients'];
const WRITERS = ['auth:clients'];
const THE_SCOPE = json(ref('Scope'), { 'a scope': EXAMPLE });

export const scopeOperations: Operations = {
  'GET /scopes': management({
    operationId: 'listScopes',
    tags: ['Scopes'],
    summary: 'List the catalogue',
    description: 'In the order of their names.',
    scopes: READERS,
    parameters: parameters('limit', 'cursor'),
    answers: { 200: { description: 'A page.', content: json(page(ref('Scope')), { 'a page': { items: [EXAMPLE] } }) } },
  }),
  'POST /scopes': management({
    operationId: 'addScope',
    tags: ['Scopes'],
    summary: 'Add a scope to the catalogue',
    scopes: WRITERS,
    requestBody: {
      required: true,
      content: json(ref('ScopeOrder'), { 'a scope': { name: 'invoices:archive', description: 'put invoices away' } }),
    },
    answers: { 201: { description: 'The scope.', headers: headers('Location'), content: THE_SCOPE } },
    refusals: [409],
  }),
  'GET /scopes/:scope': management({
    operationId: 'getScope',
    tags: ['Scopes'],
    summary: 'Read a scope, and who holds it',
    scopes: READERS,
    parameters: parameters('limit', 'cursor'),
    answers: {
      200: { description: 'The scope.', content: json(ref('ScopeWithHolders'), { 'a scope': { ...EXAMPLE, items: ['billing'] } }) },
    },
    refusals: [404],
  }),
  'PATCH /scopes/:scope': management({
    operationId: 'describeScope',
    tags: ['Scopes'],
    summary: 'Say what a scope allows',
    description: 'Scopes that begin with `auth:` are what they are.',
    scopes: WRITERS,
    requestBody: {
      required: true,
      content: {
        ...json(ref('ScopePatch'), { 'a description': { description: 'see all invoices' } }, 'application/merge-patch+json'),
        ...json(ref('ScopePatch'), { 'none any more': { description: null } }),
      },
    },
    answers: { 200: { description: 'The scope.', content: THE_SCOPE } },
    refusals: [404, 409],
  }),
  'DELETE /scopes/:scope': management({
    operationId: 'removeScope',
    tags: ['Scopes'],
    summary: 'Take a scope out of the catalogue',
    description: 'One that clients hold stays.',
    scopes: WRITERS,
    answers: { 204: { description: 'It is not in the catalogue any more.' } },
    refusals: [404, 409],
  }),
};

/** `/clients/import` and `/clients/export`. */
import { EXPORT } from '../http/client-export.ts';
import { badMetadata, CLIENT_EXAMPLE, clientMembers, OTHER_LANGUAGES, SECRET_EXAMPLE, secretMembers } from './clients.ts';
import { bodyOf, count, json, management, type Operations, object, page, query, ref, type Schema, text } from './operation.ts';

export const transferSchemas: Readonly<Record<string, Schema>> = {
  ClientImport: object(
    {
      'dry_run?': { const: true },
      created: count('how many clients were made, or would be'),
      unchanged: count('how many are there as the lines say'),
      failed: count('how many lines cannot be imported'),
      'errors?': {
        type: 'array',
        description: 'what is wrong with them',
        items: object({ pointer: text('JSON pointer as into an array of the lines: `/0/scope`'), detail: text('what it has to be') }),
      },
    },
    { description: 'What became of an import.' },
  ),
  ExportOrder: {
    ...bodyOf(EXPORT, { limit: 'clients of a page', cursor: 'the `next_cursor` of the page before' }),
    description: 'Which page.',
  },
  ExportedClient: object(
    {
      ...clientMembers,
      secrets: { type: 'array', items: ref('ExportedSecret'), description: 'with their hashes, where the caller may have them' },
    },
    { description: 'A client as an import takes it.', ...OTHER_LANGUAGES },
  ),
  ExportedSecret: object(
    {
      ...secretMembers,
      'hash?': text('what proves the secret; absent where the client has `auth:` scopes that the caller has not, or administers more'),
    },
    { description: 'A secret, with its hash.' },
  ),
};

const LINES = [
  { client_id: 'import-1', client_name: 'One', client_secret: 'TkH0RSnBfn7oIxGQJy9yFGPsRgzUMhGlLPZu8Q4nLx0' },
  { client_id: 'import-2', client_name: 'Two', scope: 'invoices:read' },
];
const HASH = 'sha256:0gFG2GuNhf4l0nqkYdsCrOdEBqf7hPF2tVrGZ7x7c6E';

export const transferOperations: Operations = {
  'POST /clients/import': management({
    operationId: 'importClients',
    tags: ['Clients'],
    summary: 'Make many clients in one transaction',
    description: 'A client a line, up to 1,000 and 4 MiB. A line that is there as it says is no error, so an import can be repeated.',
    scopes: ['auth:clients'],
    parameters: [
      query('dry_run', '`true`: everything is looked at, and nothing written.', { type: 'boolean', default: false }),
      query('partial', '`true`: lines that cannot be imported are left out; else one of them refuses all.', {
        type: 'boolean',
        default: false,
      }),
    ],
    requestBody: {
      required: true,
      content: json(
        text('JSON lines: clients as they are read or made, with `client_secret`, or with `secrets` that have a `hash`'),
        { 'two clients': LINES.map((line) => `${JSON.stringify(line)}\n`).join('') },
        'application/x-ndjson',
      ),
    },
    answers: {
      200: { description: 'What became of it.', content: json(ref('ClientImport'), { done: { created: 2, unchanged: 0, failed: 0 } }) },
      ...badMetadata,
    },
    refusals: [409],
  }),
  'POST /clients/export': management({
    operationId: 'exportClients',
    tags: ['Clients'],
    summary: 'Read clients with the hashes of their secrets',
    description: 'For an import elsewhere. It is in the audit.',
    scopes: ['auth:clients'],
    requestBody: { required: true, content: json(ref('ExportOrder'), { 'the first page': {}, 'a short one': { limit: 1 } }) },
    answers: {
      200: {
        description: 'A page.',
        content: json(page(ref('ExportedClient')), {
          'a page': { items: [{ ...CLIENT_EXAMPLE, secrets: [{ ...SECRET_EXAMPLE, hash: HASH }] }] },
        }),
      },
    },
  }),
};

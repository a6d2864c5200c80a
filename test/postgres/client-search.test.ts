import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInPart } from '../../src/core/delegation.ts';
import type { ClientFilter } from '../../src/core/ports.ts';
import { type Bounds, pageOfIds } from '../../src/postgres/client-search.ts';
import { createDatabase } from '../support/database.ts';

const FILTERS: readonly ClientFilter[] = [
  {},
  { disabled: true },
  { text: 'e' },
  { text: '1' },
  { text: '11' },
  { text: 'SERVICE' },
  { text: 'service 11' },
  { text: 'no such' },
  { scope: 'all' },
  { scope: 'odd' },
  { scope: 'none' },
  { text: 'c-1', scope: 'odd', disabled: false },
  { text: 'c-1', scope: 'odd', disabled: true },
  { scope: 'all', disabled: true },
  { scope: 'odd', disabled: false },
  ...[{}, { scope: 'all' }, { text: 'service' }, { text: '1', scope: 'odd', disabled: true }].flatMap((filter) => [
    { ...filter, part: { prefix: 'c-1', createdBy: undefined } },
    { ...filter, part: { prefix: undefined, createdBy: 'm1' } },
    { ...filter, part: { prefix: 'c-2', createdBy: 'm2' } },
    { ...filter, part: { prefix: 'c_', createdBy: undefined } },
  ]),
];

const BOUNDS: readonly Bounds[] = [0, 20, 1_000].flatMap((near) => [0, 3, 5_000].map((few) => ({ near, few })));

test('a page is the same whether its clients are taken from the index or walked to', async (t) => {
  const { db, drop } = await createDatabase();
  t.after(drop);
  await db.query({
    text: `insert into client (client_id, auth_method, grant_types, scope, audience, resources, claims, access_token_format, introspection_max_age,
        disabled, registration, created_by, deleted_at)
      select 'c-' || n, 'none', '{}', case when n % 2 = 1 then array['all', 'odd'] else array['all'] end, '{}', '{}', '{}', 'jwt', 0, n % 3 = 0,
        jsonb_build_object('client_name', 'Service ' || n), 'm' || n % 7, case when n % 10 = 5 then now() end
      from generate_series(1, 120) as n`,
  });
  const all = await db.query<{ client_id: string; scope: string[]; disabled: boolean; created_by: string }>({
    text: 'select client_id, scope, disabled, created_by from client where deleted_at is null order by client_id',
  });
  for (const filter of FILTERS) {
    const { text = '', scope, disabled, part } = filter;
    const matching = all
      .filter(
        (client) => client.client_id.includes(text.toLowerCase()) || `service ${client.client_id.slice(2)}`.includes(text.toLowerCase()),
      )
      .filter((client) => scope === undefined || client.scope.includes(scope))
      .filter((client) => disabled === undefined || client.disabled === disabled)
      .filter(({ client_id: id, created_by: createdBy }) => isInPart({ id, createdBy }, part))
      .map(({ client_id }) => client_id);
    for (const after of ['', 'c-30', 'c-99', 'd']) {
      const expected = matching.filter((id) => id > after).slice(0, 7);
      for (const bounds of BOUNDS) {
        const { text: ids, values } = pageOfIds(filter, [after, 7], bounds);
        const rows = await db.query<{ client_id: string }>({
          text: `select client_id from (${ids}) as ids order by client_id limit $2`,
          values,
        });
        assert.deepEqual(
          rows.map(({ client_id }) => client_id),
          expected,
          JSON.stringify({ filter, after, bounds }),
        );
      }
    }
  }
});

/** What every {@link ClientDirectory} and {@link ClientAdministration} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client, ClientSettings } from '../../src/core/clients.ts';
import { Problem } from '../../src/core/errors.ts';
import type { ClientFilter } from '../../src/core/ports.ts';
import { ACTOR, allow, insist, NOW, newSecret, type OpenStores, type Stores, settings } from './stores.ts';

const EVERYTHING = {
  token_endpoint_auth_method: 'client_secret_post',
  scope: 'read write',
  audience: ['https://api.example.com', 'a,b', '{}'],
  resources: ['https://api.example.com/v1'],
  claims: { tenant: 'Ünï "\\"', nested: { list: [1, null, true] } },
  access_token_format: 'jwt',
  access_token_ttl: 60,
  access_token_limit: 5,
  introspection_max_age: 30,
  disabled: true,
  administers: { prefix: 'billing-', created: true },
  client_name: 'Billing',
  'client_name#de': 'Abrechnung',
  contacts: ['ops@example.com'],
  redirect_uris: ['https://app.example.com/back'],
  jwks_uri: 'https://app.example.com/jwks',
};

/** @returns the part of the client that a caller decides about */
function settingsOf({ id, version, createdAt, createdBy, updatedAt, secrets, ...rest }: Client): ClientSettings {
  return rest;
}

const refuse = (): never => {
  throw new Problem('conflict', 'refused by the test');
};

/** A secret that ends alone. */
const kept = (secretId: string) => ({ secretId, tokens: 'keep' }) as const;

export function clientContract(open: OpenStores): void {
  describe('ClientDirectory and ClientAdministration', () => {
    let stores: Stores;
    before(async () => {
      stores = await open();
    });
    after(() => stores.close());
    const insert = (id: string, metadata = {}) => stores.administration.insert(id, settings(metadata), undefined, ACTOR);
    const find = async (id: string) => (await stores.directory.find(id))?.client;

    for (const [what, metadata] of [
      ['defaults', {}],
      ['everything', EVERYTHING],
    ] as const) {
      test(`a client with ${what} is found as it was inserted`, async () => {
        const secret = newSecret('s', { name: 'first', expiresAt: new Date((NOW + 60) * 1000) });
        const inserted = await stores.administration.insert(`insert-${what}`, settings(metadata), secret, ACTOR);
        assert.ok(inserted);
        assert.deepEqual(settingsOf(inserted), settings(metadata));
        assert.deepEqual(
          inserted.secrets.map(({ name, verifier, expiresAt, lastUsedAt }) => ({ name, verifier, expiresAt, lastUsedAt })),
          [{ ...secret, lastUsedAt: undefined }],
        );
        assert.deepEqual(await find(`insert-${what}`), inserted);
      });
    }

    test('finds nothing for an id that was never given', async () => {
      assert.equal(await stores.directory.find('nobody'), undefined);
    });

    test('an id is given once: neither again, nor after a deletion, nor to two of ten at once', async () => {
      assert.ok(await insert('once'));
      assert.equal(await insert('once'), undefined);
      assert.equal(await stores.administration.delete('once', allow, ACTOR), true);
      assert.equal(await insert('once'), undefined);
      assert.equal(await find('once'), undefined);
      const inserted = await Promise.all(Array.from({ length: 10 }, () => insist(() => insert('race'))));
      assert.equal(inserted.filter((client) => client !== undefined).length, 1);
    });

    test('an update replaces all settings and keeps what an administrator does not decide', async () => {
      const before = await stores.administration.insert('update', settings(EVERYTHING), newSecret('s'), ACTOR);
      const after = await stores.administration.update('update', () => settings({ scope: 'other' }), ACTOR);
      assert.ok(before && after);
      assert.deepEqual(settingsOf(after), settings({ scope: 'other' }));
      assert.deepEqual([after.id, after.createdAt, after.secrets], [before.id, before.createdAt, before.secrets]);
      assert.ok(after.updatedAt > before.updatedAt);
      assert.deepEqual(await find('update'), after);
    });

    test('an update sees the current record', async () => {
      const inserted = await insert('current', EVERYTHING);
      let seen: Client | undefined;
      const change = (current: Client) => {
        seen = current;
        return current;
      };
      await stores.administration.update('current', change, ACTOR);
      assert.deepEqual(seen, inserted);
    });

    test('the version grows with each change of the client or its secrets', async () => {
      const inserted = await stores.administration.insert('versions', settings(), newSecret('a'), ACTOR);
      const seen = [inserted?.version ?? 0];
      const { update, addSecret, removeSecret } = stores.administration;
      const changes = [
        () => update('versions', (current) => current, ACTOR),
        () => addSecret('versions', newSecret('b'), allow, ACTOR),
        () => removeSecret('versions', kept(inserted?.secrets[0]?.id ?? ''), allow, ACTOR),
      ];
      for (const change of changes) {
        assert.ok(await change());
        seen.push((await find('versions'))?.version ?? 0);
        assert.equal((await find('versions'))?.version, seen.at(-1), 'reading is no change');
      }
      assert.deepEqual(
        seen,
        [...new Set(seen)].sort((a, b) => a - b),
      );
    });

    test('twenty updates at once: none is lost', async () => {
      await insert('patched');
      const add = (claim: string) => (current: Client) => ({ ...current, claims: { ...current.claims, [claim]: true } });
      await Promise.all(
        Array.from({ length: 20 }, (_, index) => insist(() => stores.administration.update('patched', add(`c${index}`), ACTOR))),
      );
      assert.equal(Object.keys((await find('patched'))?.claims ?? {}).length, 20);
    });

    test('updates, secrets and a deletion at once leave no half of any', async () => {
      await stores.administration.insert('busy', settings(), newSecret('0'), ACTOR);
      const results = await Promise.all([
        ...Array.from({ length: 4 }, () => stores.administration.update('busy', (current) => current, ACTOR)),
        stores.administration.delete('busy', allow, ACTOR),
        ...Array.from({ length: 4 }, (_, index) => stores.administration.addSecret('busy', newSecret(`${index}`), allow, ACTOR)),
      ]);
      assert.equal(results[4], true);
      assert.equal(await find('busy'), undefined);
      assert.equal(await stores.administration.addSecret('busy', newSecret('late'), allow, ACTOR), undefined);
      const done = results.filter((result) => result !== undefined).length;
      assert.equal(
        (await stores.changes()).filter(({ key }) => key === 'busy').length,
        1 + done,
        'one entry for what was done, none for the rest',
      );
    });

    test('secrets: several, in the order of their creation, each removed by its id', async () => {
      await stores.administration.insert('secrets', settings(), newSecret('a', { name: 'a' }), ACTOR);
      const b = await stores.administration.addSecret('secrets', newSecret('b', { name: 'b' }), allow, ACTOR);
      await stores.administration.addSecret('secrets', newSecret('c', { expiresAt: new Date(NOW * 1000) }), allow, ACTOR);
      assert.deepEqual(
        (await find('secrets'))?.secrets.map(({ name, expiresAt }) => [name, expiresAt?.getTime()]),
        [['a', undefined], ['b', undefined], [undefined, NOW * 1000]], // biome-ignore format: a table
      );
      assert.ok(b);
      assert.deepEqual(
        (await find('secrets'))?.secrets.find(({ id }) => id === b.id),
        b,
      );
      assert.equal(await stores.administration.removeSecret('secrets', kept(b.id), allow, ACTOR), true);
      assert.deepEqual(
        (await find('secrets'))?.secrets.map(({ name }) => name),
        ['a', undefined],
      );
      assert.equal(await stores.administration.removeSecret('secrets', kept(b.id), allow, ACTOR), false, 'it is gone already');
    });

    test('a rotation gives an end to those that would live longer, and removes those that have ended', async () => {
      const at = (seconds: number) => new Date((NOW + 1_000_000_000 + seconds) * 1000);
      await stores.administration.insert('rotated', settings(), newSecret('a', { name: 'endless' }), ACTOR);
      for (const [name, expiresAt] of [
        ['ended', new Date(0)],
        ['sooner', at(-60)],
        ['later', at(60)],
      ] as const) {
        await stores.administration.addSecret('rotated', newSecret(name, { name, expiresAt }), allow, ACTOR);
      }
      const before = (await find('rotated'))?.secrets ?? [];
      const added = await stores.administration.addSecret(
        'rotated',
        { ...newSecret('b', { name: 'new', expiresAt: at(9_000) }), othersExpireAt: at(0) },
        allow,
        ACTOR,
      );
      const after = (await find('rotated'))?.secrets ?? [];
      assert.deepEqual(
        after.map(({ name, expiresAt }) => [name, expiresAt?.getTime()]),
        [['endless', at(0)], ['sooner', at(-60)], ['later', at(0)], ['new', at(9_000)]].map(([name, end]) => [name, Number(end)]), // biome-ignore format: a table
      );
      assert.equal(added?.id, after[3]?.id);
      const kept = before.filter(({ name }) => name !== 'ended').map(({ id, verifier }) => [id, verifier]);
      assert.deepEqual(
        after.slice(0, 3).map(({ id, verifier }) => [id, verifier]),
        kept,
      );
    });

    test('a secret is removed from its own client only, and no junk fails', async () => {
      await stores.administration.insert('owner', settings(), newSecret('x'), ACTOR);
      await insert('other');
      const id = (await find('owner'))?.secrets[0]?.id ?? '';
      for (const [client, secret] of [
        ['other', id],
        ['owner', 'not-a-uuid'],
        ['nobody', id],
      ] as const) {
        // biome-ignore format: a table
        assert.equal(await stores.administration.removeSecret(client, kept(secret), allow, ACTOR), false);
      }
      assert.equal((await find('owner'))?.secrets.length, 1);
    });

    test('ten removals of one secret at once: one succeeds', async () => {
      await stores.administration.insert('remove-race', settings(), newSecret('x'), ACTOR);
      const id = (await find('remove-race'))?.secrets[0]?.id ?? '';
      const removed = await Promise.all(
        Array.from({ length: 10 }, () => stores.administration.removeSecret('remove-race', kept(id), allow, ACTOR)),
      );
      assert.equal(removed.filter(Boolean).length, 1);
    });

    test('`check` sees the secrets under the lock: a maximum holds under twenty additions at once', async () => {
      await insert('maximum');
      const check = (current: Client) => (current.secrets.length < 5 ? undefined : refuse());
      const added = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          insist(() => stores.administration.addSecret('maximum', newSecret(`${index}`), check, ACTOR)),
        ),
      );
      assert.equal(added.filter(({ status }) => status === 'fulfilled').length, 5);
      assert.equal((await find('maximum'))?.secrets.length, 5);
    });

    test('pages are stable while clients come and go: each that stays is listed once', async () => {
      const ids = Array.from({ length: 9 }, (_, index) => `page-${index}0`);
      for (const id of ids) await insert(id);
      const listed: string[] = [];
      let after: string | undefined = 'page-';
      do {
        const page: readonly Client[] = await stores.administration.list({ after, limit: 2 });
        listed.push(...page.map(({ id }) => id).filter((id) => id.startsWith('page-')));
        after = page.at(-1)?.id;
        // Beside the reader: one before the cursor comes, the next one goes, and one behind it comes.
        if (listed.length === 2) {
          await insert('page-05');
          await stores.administration.delete('page-20', allow, ACTOR);
          await insert('page-55');
        }
      } while (after?.startsWith('page-'));
      assert.deepEqual(listed, ['page-00', 'page-10', 'page-30', 'page-40', 'page-50', 'page-55', 'page-60', 'page-70', 'page-80']);
    });

    test('a list without a cursor begins at the beginning and lists what `find` finds', async () => {
      const listed = await stores.administration.list({ after: undefined, limit: 500 });
      assert.ok(listed.length > 10);
      for (const client of listed) assert.deepEqual(client, await find(client.id));
    });

    test('a filter chooses by a part of id or name, by a scope and by the state, and by all of them', async () => {
      await insert('filter-orders', { client_name: 'Order Service', scope: 'stock:read stock:write' });
      await insert('filter-Reports', { client_name: 'Berichte (\u00fcber) 100%_\\', scope: 'stock:read', disabled: true });
      await insert('filter-bare', { scope: 'stock' });
      const list = async (filter: ClientFilter) => {
        const listed = await stores.administration.list({ after: 'filter-', limit: 500 }, filter);
        return listed.flatMap(({ id }) => (id.startsWith('filter-') ? [id.slice('filter-'.length)] : []));
      };
      for (const [filter, expected] of [
        [{}, ['Reports', 'bare', 'orders']],
        [{ text: 'ORDER' }, ['orders']],
        [{ text: 'r service' }, ['orders']],
        [{ text: 'reports' }, ['Reports']],
        [{ text: '(\u00fcber) 100%_\\' }, ['Reports']],
        [{ text: '%' }, ['Reports']],
        [{ text: 'o_d' }, []],
        [{ text: 'ordersorder' }, []],
        [{ text: 'filter-' }, ['Reports', 'bare', 'orders']],
        [{ scope: 'stock:read' }, ['Reports', 'orders']],
        [{ scope: 'stock' }, ['bare']],
        [{ disabled: true }, ['Reports']],
        [{ disabled: false }, ['bare', 'orders']],
        [{ text: 'r', scope: 'stock:read', disabled: false }, ['orders']],
        [{ text: 'r', scope: 'stock:write', disabled: true }, []],
      ] as const) {
        assert.deepEqual(await list(filter), expected, JSON.stringify(filter));
      }
      await stores.administration.update('filter-bare', () => settings({ client_name: 'Renamed' }), ACTOR);
      assert.deepEqual([await list({ text: 'renamed' }), await list({ scope: 'stock' })], [['bare'], []], 'as it is now');
      await stores.administration.delete('filter-bare', allow, ACTOR);
      assert.deepEqual(await list({ text: 'renamed' }), []);
    });

    /** Each write, its entry in the change log and in the audit. */
    const WRITES: readonly [what: string, kind: string, action: string, write: (id: string, secretId: string) => Promise<unknown>][] = [
      ['update', 'client_record', 'client.update', (id) => stores.administration.update(id, (current) => current, ACTOR)],
      ['disable', 'client', 'client.update', (id) => stores.administration.update(id, (c) => ({ ...c, disabled: true }), ACTOR)],
      ['add a secret', 'client_record', 'client.secret.add', (id) => stores.administration.addSecret(id, newSecret('n'), allow, ACTOR)],
      [
        'remove a secret and end all tokens',
        'client',
        'client.secret.remove',
        (id, secretId) => stores.administration.removeSecret(id, { secretId, tokens: 'end' }, allow, ACTOR),
      ],
      [
        'remove a secret',
        'client_record',
        'client.secret.remove',
        (id, s) => stores.administration.removeSecret(id, kept(s), allow, ACTOR),
      ],
      ['delete', 'client', 'client.delete', (id) => stores.administration.delete(id, allow, ACTOR)],
    ];
    for (const [what, kind, action, write] of WRITES) {
      test(`${what}: one entry in the change log, one in the audit; with the right actor and target`, async () => {
        const id = `log-${what.replaceAll(' ', '-')}`;
        const from = { changes: await stores.changes(), audits: await stores.audits() };
        await stores.administration.insert(id, settings(), newSecret('s'), ACTOR);
        const secretId = (await find(id))?.secrets[0]?.id ?? '';
        assert.ok(await write(id, secretId));
        const seq = from.changes.length;
        assert.deepEqual((await stores.changes()).slice(seq), [
          { seq: seq + 1, kind: 'client_record', key: id },
          { seq: seq + 2, kind, key: id },
        ]);
        const by = { target: id, actor: 'admin', address: '192.0.2.7' };
        assert.deepEqual((await stores.audits()).slice(from.audits.length), [
          { action: 'client.create', ...by },
          { action, ...by },
        ]);
      });
    }

    test('disabling what is disabled, and enabling, are no cut-offs', async () => {
      await insert('twice', { disabled: true });
      for (const disabled of [true, false]) await stores.administration.update('twice', (c) => ({ ...c, disabled }), ACTOR);
      assert.deepEqual(
        (await stores.changes()).filter(({ key }) => key === 'twice').map(({ kind }) => kind),
        ['client_record', 'client_record', 'client_record'],
      );
    });

    test('what is refused or concerns nobody writes nothing at all', async () => {
      await stores.administration.insert('refused', settings(), newSecret('s'), ACTOR);
      const inserted = await find('refused');
      const secretId = inserted?.secrets[0]?.id ?? '';
      const from = [await stores.changes(), await stores.audits()];
      const { update, addSecret, removeSecret, delete: remove } = stores.administration;
      for (const refused of [
        () => update('refused', refuse, ACTOR),
        () => addSecret('refused', newSecret('n'), refuse, ACTOR),
        () => removeSecret('refused', kept(secretId), refuse, ACTOR),
        () => remove('refused', refuse, ACTOR),
      ]) {
        await assert.rejects(refused, Problem);
      }
      assert.equal(await update('nobody', (current) => current, ACTOR), undefined);
      assert.equal(await addSecret('nobody', newSecret('n'), allow, ACTOR), undefined);
      assert.equal(await removeSecret('nobody', kept(secretId), allow, ACTOR), false);
      assert.equal(await remove('nobody', allow, ACTOR), false);
      assert.equal(await insert('refused'), undefined);
      assert.deepEqual(await find('refused'), inserted);
      assert.deepEqual([await stores.changes(), await stores.audits()], from);
    });

    test('`asOfSeq` is the position of the change log that the record was read at', async () => {
      await insert('position');
      assert.equal((await stores.directory.find('position'))?.asOfSeq, (await stores.changes()).length);
    });
  });
}

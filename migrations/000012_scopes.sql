-- The catalogue of scopes, who holds which, and administrations of a part of the clients (docs/scopes.md). A server of the version before does not know of
-- limits: all are to be updated before one is given.
create table scope (
  name text primary key,
  description text,
  created_at timestamptz not null default clock_timestamp()
);

-- Kept by triggers, so that it is right whatever version writes a client. No foreign keys: they would cost an import of many clients more than all the
-- rest; who removes a scope shuts the table `scope` to others first.
create table client_scope (
  scope text not null,
  -- as the client has it, so that a list by scope and state is read in its order
  disabled boolean not null,
  client_id text not null,
  primary key (scope, disabled, client_id)
);

alter table client
  -- null: all clients, and its members narrow that
  add column administers jsonb,
  -- who made it; null: the server itself, or a server that did not write it down
  add column created_by text;
create index client_created_by on client (created_by, client_id) where deleted_at is null and created_by is not null;

create function client_scopes_added() returns trigger language plpgsql as $$
begin
  insert into scope (name) select distinct unnest(scope) as name from added where deleted_at is null order by name on conflict do nothing;
  insert into client_scope (scope, disabled, client_id)
    select distinct unnest(scope), disabled, client_id from added where deleted_at is null;
  return null;
end
$$;
create trigger client_scopes_added after insert on client referencing new table as added for each statement execute function client_scopes_added();

create function client_scopes_changed() returns trigger language plpgsql as $$
begin
  delete from client_scope where scope = any(old.scope) and disabled = old.disabled and client_id = old.client_id;
  if new.deleted_at is null then
    insert into scope (name) select distinct unnest(new.scope) as name order by name on conflict do nothing;
    insert into client_scope (scope, disabled, client_id) select distinct unnest(new.scope), new.disabled, new.client_id;
  end if;
  return null;
end
$$;
create trigger client_scopes_changed after update of scope, disabled, deleted_at on client for each row
  when ((old.scope, old.disabled, old.deleted_at) is distinct from (new.scope, new.disabled, new.deleted_at))
  execute function client_scopes_changed();

insert into scope (name, description) values
  ('auth:clients', 'manage clients, their secrets and the scope catalogue'),
  ('auth:clients:read', 'read clients and the scope catalogue'),
  ('auth:introspect', 'introspect the tokens of all clients'),
  ('auth:revocations', 'end tokens of others, and follow what has ended'),
  ('auth:revocations:read', 'follow what has ended'),
  ('auth:keys', 'see and change the schedule of the signing keys'),
  ('auth:audit', 'read the audit');
insert into client_scope (scope, disabled, client_id)
  select distinct unnest(scope), disabled, client_id from client where deleted_at is null;
insert into scope (name) select distinct scope from client_scope on conflict do nothing;

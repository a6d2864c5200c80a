-- A client that the same transaction has made or changed has a version that nobody has read yet: it need not grow once more with each of its secrets.
-- An import of 1,000 clients with their secrets would write each row a second time, and with it the entries of client_search, which cost the most.
create or replace function client_secret_changed() returns trigger language plpgsql as $$
begin
  update client set version = version
    where client_id = coalesce(new.client_id, old.client_id) and xmin <> pg_current_xact_id()::xid;
  return null;
end
$$;

-- False: not in client_search yet (the next migration).
alter table client add column searchable boolean not null default true;

-- To become searchable is no change of a client.
create or replace function client_changed() returns trigger language plpgsql as $$
begin
  new.version := old.version + case when new.searchable = old.searchable then 1 else 0 end;
  return new;
end
$$;

-- What an administrator has read must not be overwritten by who has read it earlier (RFC 9110 §13.1.1). By triggers, so that the version also grows with
-- what a server of the version before writes, or an operator by hand.
alter table client add column version bigint not null default 1;

create function client_changed() returns trigger language plpgsql as $$
begin
  new.version := old.version + 1;
  return new;
end
$$;
create trigger client_changed before update on client for each row execute function client_changed();

-- That a secret was used is no change of it: last_used_at is not among these columns.
create function client_secret_changed() returns trigger language plpgsql as $$
begin
  update client set version = version where client_id = coalesce(new.client_id, old.client_id);
  return null;
end
$$;
create trigger client_secret_changed after insert or delete or update of client_id, name, verifier, expires_at on client_secret
  for each row execute function client_secret_changed();

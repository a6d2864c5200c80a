-- The sum of migrations/, for reading: made by scripts/schema.mjs, compared by test/postgres/migrate.test.ts. Not to be run or edited.
-- Partitions that the server makes as time goes by (access_token_short_1800000000) are left out.

CREATE OR REPLACE FUNCTION client_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  new.version := old.version + case when new.searchable = old.searchable then 1 else 0 end;
  return new;
end
$function$;

CREATE OR REPLACE FUNCTION client_scopes_added()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  insert into scope (name) select distinct unnest(scope) as name from added where deleted_at is null order by name on conflict do nothing;
  insert into client_scope (scope, disabled, client_id)
    select distinct unnest(scope), disabled, client_id from added where deleted_at is null;
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION client_scopes_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  delete from client_scope where scope = any(old.scope) and disabled = old.disabled and client_id = old.client_id;
  if new.deleted_at is null then
    insert into scope (name) select distinct unnest(new.scope) as name order by name on conflict do nothing;
    insert into client_scope (scope, disabled, client_id) select distinct unnest(new.scope), new.disabled, new.client_id;
  end if;
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION client_secret_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  update client set version = version
    where client_id = coalesce(new.client_id, old.client_id) and xmin <> pg_current_xact_id()::xid;
  return null;
end
$function$;

CREATE OR REPLACE FUNCTION client_text(client_id text, registration jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select lower(client_id || chr(10) || coalesce(registration ->> 'client_name', ''))
$function$;

CREATE OR REPLACE FUNCTION text_parts(value text, sizes integer[])
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select array(select distinct substr(value, at, size) from unnest(sizes) as size, generate_series(1, length(value) - size + 1) as at)
$function$;

create table access_token (
  token_hash bytea not null,
  jti uuid not null,
  client_id text not null,
  subject text not null,
  scope text[] not null,
  audience text[] not null,
  claims jsonb,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  issued_seq bigint not null,
  long_lived boolean not null,
  secret_id uuid
) partition by LIST (long_lived);
CREATE INDEX access_token_token_hash ON ONLY access_token USING btree (token_hash);

create table access_token_long partition of access_token FOR VALUES IN (true) partition by RANGE (expires_at);

create table access_token_long_other partition of access_token_long DEFAULT;

create table access_token_short partition of access_token FOR VALUES IN (false) partition by RANGE (expires_at);

create table access_token_short_other partition of access_token_short DEFAULT;

create table audit (
  id bigint not null generated always as identity,
  at timestamp with time zone not null default clock_timestamp(),
  actor_client_id text,
  actor_address inet,
  action text not null,
  target text not null,
  detail jsonb not null default '{}'::jsonb,
  request_id text,
  actor_secret_id uuid,
  constraint audit_pkey PRIMARY KEY (id, at)
) partition by RANGE (at);
CREATE INDEX audit_action ON ONLY audit USING btree (action text_pattern_ops, id);
CREATE INDEX audit_actor ON ONLY audit USING btree (actor_client_id, id);
CREATE INDEX audit_target ON ONLY audit USING btree (target, id);

create table audit_other partition of audit DEFAULT;

create table change (
  seq bigint not null,
  kind text not null,
  key text not null,
  at timestamp with time zone not null default clock_timestamp(),
  expires_at timestamp with time zone not null,
  issued_before timestamp with time zone,
  jti uuid,
  reason text,
  constraint change_pkey PRIMARY KEY (seq),
  constraint change_kind_check CHECK (kind = ANY (ARRAY['token'::text, 'client'::text, 'client_record'::text, 'keys'::text, 'subject'::text, 'all'::text])) NOT VALID
);
CREATE INDEX change_kind_key_seq ON change USING btree (kind, key, seq);

create table change_log (
  only_row boolean not null default true,
  epoch uuid not null default gen_random_uuid(),
  last_seq bigint not null default 0,
  constraint change_log_pkey PRIMARY KEY (only_row),
  constraint change_log_only_row_check CHECK (only_row)
);

create table client (
  client_id text not null,
  auth_method text not null,
  grant_types text[] not null,
  scope text[] not null,
  audience text[] not null,
  resources text[] not null,
  claims jsonb not null,
  access_token_format text not null,
  access_token_ttl integer,
  introspection_max_age integer not null,
  disabled boolean not null,
  registration jsonb not null,
  created_at timestamp with time zone not null default clock_timestamp(),
  updated_at timestamp with time zone not null default clock_timestamp(),
  deleted_at timestamp with time zone,
  version bigint not null default 1,
  access_token_limit integer,
  administers jsonb,
  created_by text,
  searchable boolean not null default true,
  constraint client_pkey PRIMARY KEY (client_id),
  constraint client_access_token_format_check CHECK (access_token_format = ANY (ARRAY['reference'::text, 'jwt'::text])),
  constraint client_access_token_ttl_check CHECK (access_token_ttl > 0)
);
CREATE INDEX client_created_by ON client USING btree (created_by, client_id) WHERE ((deleted_at IS NULL) AND (created_by IS NOT NULL));
CREATE INDEX client_disabled ON client USING btree (disabled, client_id) WHERE (deleted_at IS NULL);
CREATE INDEX client_not_searchable ON client USING btree (client_id) WHERE (NOT searchable);
CREATE INDEX client_search ON client USING gin (scope, text_parts(client_text(client_id, registration), '{1,2,3}'::integer[])) WITH (fastupdate=off) WHERE ((deleted_at IS NULL) AND searchable);
CREATE TRIGGER client_changed BEFORE UPDATE ON client FOR EACH ROW EXECUTE FUNCTION client_changed();
CREATE TRIGGER client_scopes_added AFTER INSERT ON client REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION client_scopes_added();
CREATE TRIGGER client_scopes_changed AFTER UPDATE OF scope, disabled, deleted_at ON client FOR EACH ROW WHEN (old.scope IS DISTINCT FROM new.scope OR old.disabled IS DISTINCT FROM new.disabled OR old.deleted_at IS DISTINCT FROM new.deleted_at) EXECUTE FUNCTION client_scopes_changed();

create table client_assertion (
  client_id text not null,
  jti_hash bytea not null,
  ends_at timestamp with time zone not null,
  constraint client_assertion_pkey PRIMARY KEY (client_id, jti_hash)
);
CREATE INDEX client_assertion_ends_at ON client_assertion USING btree (ends_at);

create table client_scope (
  scope text not null,
  disabled boolean not null,
  client_id text not null,
  constraint client_scope_pkey PRIMARY KEY (scope, disabled, client_id)
);

create table client_secret (
  id uuid not null default gen_random_uuid(),
  client_id text not null,
  name text,
  verifier text not null,
  created_at timestamp with time zone not null default clock_timestamp(),
  expires_at timestamp with time zone,
  last_used_at timestamp with time zone,
  constraint client_secret_pkey PRIMARY KEY (id),
  constraint client_secret_client_id_fkey FOREIGN KEY (client_id) REFERENCES client(client_id)
);
CREATE INDEX client_secret_client_id ON client_secret USING btree (client_id);
CREATE TRIGGER client_secret_changed AFTER INSERT OR DELETE OR UPDATE OF client_id, name, verifier, expires_at ON client_secret FOR EACH ROW EXECUTE FUNCTION client_secret_changed();

create table idempotency (
  client_id text not null,
  key text not null,
  request bytea not null,
  answer jsonb,
  at timestamp with time zone not null default clock_timestamp(),
  constraint idempotency_pkey PRIMARY KEY (client_id, key)
);
CREATE INDEX idempotency_at ON idempotency USING btree (at);

create table limited_token (
  client_id text not null,
  token_hash bytea not null,
  subject text not null,
  issued_at timestamp with time zone not null,
  expires_at timestamp with time zone not null,
  issued_seq bigint not null,
  constraint limited_token_pkey PRIMARY KEY (client_id, token_hash)
);
CREATE INDEX limited_token_expires_at ON limited_token USING btree (expires_at);

create table migration (
  version integer not null,
  name text not null,
  checksum text not null,
  applied_at timestamp with time zone not null default clock_timestamp(),
  constraint migration_pkey PRIMARY KEY (version)
);

create table node (
  node_id uuid not null,
  live_until timestamp with time zone not null,
  applied_seq bigint not null,
  max_staleness_ms integer not null,
  constraint node_pkey PRIMARY KEY (node_id)
);

create table registration_access (
  client_id text not null,
  verifier text not null,
  registration_token_id uuid,
  allowed_scope text[],
  constraint registration_access_pkey PRIMARY KEY (client_id),
  constraint registration_access_client_id_fkey FOREIGN KEY (client_id) REFERENCES client(client_id)
);

create table registration_token (
  id uuid not null default gen_random_uuid(),
  verifier text not null,
  name text,
  scope text[],
  uses integer,
  used integer not null default 0,
  created_at timestamp with time zone not null default clock_timestamp(),
  expires_at timestamp with time zone not null,
  constraint registration_token_pkey PRIMARY KEY (id),
  constraint registration_token_verifier_key UNIQUE (verifier),
  constraint registration_token_uses_check CHECK (uses > 0)
);
CREATE INDEX registration_token_expires_at ON registration_token USING btree (expires_at);

create table scope (
  name text not null,
  description text,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint scope_pkey PRIMARY KEY (name)
);

create table signing_key (
  kid text not null,
  alg text not null,
  public_jwk jsonb not null,
  private_key bytea,
  created_at timestamp with time zone not null default clock_timestamp(),
  announced_at timestamp with time zone not null default clock_timestamp(),
  active_from timestamp with time zone not null default clock_timestamp(),
  ended_at timestamp with time zone,
  constraint signing_key_pkey PRIMARY KEY (kid)
);

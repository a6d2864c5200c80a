-- The record: clients, keys, tokens, the change log, the audit. Sample rows: docs/storage.md.

-- The change log orders everything that a node may have to learn. Its sequence is a counter row, not a PostgreSQL sequence: the row
-- lock is held until the commit, so the order of numbers is the order in which changes become visible, and there are no gaps.
create table change_log (
  only_row boolean primary key default true check (only_row),
  -- names this history: a restored or another database has another one, or a smaller last_seq
  epoch uuid not null default gen_random_uuid(),
  last_seq bigint not null default 0
);
insert into change_log default values;

create table change (
  seq bigint primary key,
  -- token: one token ends. client: all tokens issued to it before seq end, and its record changed.
  -- client_record: its record changed. keys: the signing keys changed.
  kind text not null check (kind in ('token', 'client', 'client_record', 'keys')),
  -- token: SHA-256 of the token in base64url; client and client_record: client_id; keys: kid
  key text not null,
  at timestamptz not null default clock_timestamp(),
  -- when nothing that this entry could end can be alive any more
  expires_at timestamptz not null
);
create index change_kind_key_seq on change (kind, key, seq);

create table client (
  client_id text primary key,
  auth_method text not null,
  grant_types text[] not null,
  scope text[] not null,
  audience text[] not null,
  resources text[] not null,
  claims jsonb not null,
  access_token_format text not null check (access_token_format in ('reference', 'jwt')),
  access_token_ttl integer check (access_token_ttl > 0),
  introspection_max_age integer not null,
  disabled boolean not null,
  -- the rest of RFC 7591 §2 by its wire names
  registration jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  -- a deleted client's row stays, so that its id is never given again
  deleted_at timestamptz
);

create table client_secret (
  id uuid primary key default gen_random_uuid(),
  client_id text not null references client,
  name text,
  -- 'sha256:' and the digest in base64url
  verifier text not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  last_used_at timestamptz
);
create index client_secret_client_id on client_secret (client_id);

create table signing_key (
  kid text primary key,
  alg text not null,
  public_jwk jsonb not null,
  -- PKCS #8, AES-256-GCM under AUTH_ENCRYPTION_KEY, bound to kid: 12 bytes nonce, ciphertext, 16 bytes tag
  private_key bytea not null,
  created_at timestamptz not null default clock_timestamp()
);

-- One row a token, never updated, never deleted: a whole partition goes once all in it has expired (src/postgres/partitions.ts).
-- Short and long lives lie apart, so that neither makes the other wait for its partition to end.
create table access_token (
  -- SHA-256 of the token
  token_hash bytea not null,
  jti uuid not null,
  client_id text not null,
  subject text not null,
  scope text[] not null,
  audience text[] not null,
  claims jsonb,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  issued_seq bigint not null,
  long_lived boolean not null
) partition by list (long_lived);
create index access_token_token_hash on access_token (token_hash);

create table access_token_short partition of access_token for values in (false) partition by range (expires_at);
create table access_token_long partition of access_token for values in (true) partition by range (expires_at);
create table access_token_short_other partition of access_token_short default;
create table access_token_long_other partition of access_token_long default;

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  -- null: the server itself
  actor_client_id text,
  actor_address inet,
  action text not null,
  -- the client_id or kid that it was done to
  target text not null,
  detail jsonb not null default '{}'
);

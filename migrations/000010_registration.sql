-- Dynamic client registration, RFC 7591 and RFC 7592.

-- Initial access tokens: who has one may register so many clients until it ends (src/postgres/registration-tokens.ts).
create table registration_token (
  id uuid primary key default gen_random_uuid(),
  -- 'sha256:' and the digest in base64url
  verifier text not null unique,
  name text,
  -- what its clients may ask for; null: any scope but auth:*
  scope text[],
  -- null: any number of times
  uses integer check (uses > 0),
  used integer not null default 0,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
);
create index registration_token_expires_at on registration_token (expires_at);

-- By what a client that registered itself manages its own record, and how far. A client that an administrator made has no row.
create table registration_access (
  client_id text primary key references client,
  verifier text not null,
  -- the initial access token; null: none was needed. No foreign key: those go once they have ended
  registration_token_id uuid,
  -- what it may ask for; null: any scope but auth:*
  allowed_scope text[]
);

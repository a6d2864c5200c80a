-- Client assertions (RFC 7523 §2.2) that were used, so that each is used once, at whatever node. A table of its own: what other protocols use once must not
-- be mistaken for it. Rows go a while after the assertion has ended (src/postgres/assertions.ts).
create table client_assertion (
  client_id text not null,
  -- SHA-256 of jti
  jti_hash bytea not null,
  -- when the assertion is accepted no more, whoever presents it
  ends_at timestamptz not null,
  primary key (client_id, jti_hash)
);
create index client_assertion_ends_at on client_assertion (ends_at);

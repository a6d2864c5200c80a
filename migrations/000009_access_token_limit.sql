-- So many tokens of a client may be alive. They are counted here, where only clients with a limit have rows.
alter table client add column access_token_limit integer;

create table limited_token (
  client_id text not null,
  token_hash bytea not null,
  -- What a cut-off is compared with, as in access_token.
  subject text not null,
  issued_at timestamptz not null,
  expires_at timestamptz not null,
  issued_seq bigint not null,
  primary key (client_id, token_hash)
);
create index limited_token_expires_at on limited_token (expires_at);

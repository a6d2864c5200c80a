-- Bulk revocations and their feed: cut-offs of a subject, of everything, and by the time of issue. The check is not valid because it need not be: it allows
-- more than the one before, and to read a long log for it would hold up every server.
-- A server of the version before does not know them: it ends nothing by them, so all are to be updated before they are used (docs/revocation.md).
alter table change
  add column issued_before timestamptz,
  add column jti uuid,
  add column reason text,
  drop constraint change_kind_check,
  add constraint change_kind_check check (kind in ('token', 'client', 'client_record', 'keys', 'subject', 'all')) not valid;

-- What was answered to a request with an Idempotency-Key, for a day.
create table idempotency (
  client_id text not null,
  key text not null,
  request bytea not null,
  answer jsonb,
  at timestamptz not null default clock_timestamp(),
  primary key (client_id, key)
);
create index idempotency_at on idempotency (at);

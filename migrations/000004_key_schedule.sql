-- Signing keys have a schedule (docs/keys.md): announced, then signing, then published until nothing that they signed can be alive.
alter table signing_key
  -- in /jwks since then. created_at is what servers of the version before order by, to sign with the newest: '-infinity' until a key signs
  add column announced_at timestamptz not null default clock_timestamp(),
  -- it signs from then on, until the next one does. By default at once, which is what servers of the version before mean by an insert
  add column active_from timestamptz not null default clock_timestamp(),
  -- gone since then, before its time, and all that it signed has ended: it was compromised, or never got to sign
  add column ended_at timestamptz,
  -- null: it signs no more
  alter column private_key drop not null;
update signing_key set announced_at = created_at, active_from = created_at;

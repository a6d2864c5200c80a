-- Which secret somebody had who did something: the token remembers it, and the audit has it. Both stay empty where a server of the version before writes.
alter table access_token add column secret_id uuid;
alter table audit add column actor_secret_id uuid;

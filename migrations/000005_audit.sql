-- The audit is partitioned by time, so that what is older than AUTH_AUDIT_DAYS goes a week at a time (src/postgres/partitions.ts). What is there becomes
-- a partition until the week after next: nothing is copied, and servers of the version before go on inserting by the statement that they know. Not the
-- default one, which is read through for each partition that is made beside it.
alter table audit rename to audit_before;
alter table audit_before drop constraint audit_pkey;
alter table audit_before alter column id drop identity;
alter table audit_before add column request_id text;

create table audit (
  -- given under the lock of change_log's counter, so that rows become visible in its order: who follows them misses none
  id bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  -- null: the server itself, or nobody who is known
  actor_client_id text,
  actor_address inet,
  action text not null,
  -- what it was done to: a client_id, a kid; of a refused request perhaps no more than its route
  target text not null,
  detail jsonb not null default '{}',
  -- of the request, as its answer says
  request_id text,
  -- id alone would do, but it has to have the column of the partitions
  primary key (id, at)
) partition by range (at);
do $$
declare
  border bigint := (floor(extract(epoch from clock_timestamp()) / 604800) + 2) * 604800;
begin
  if exists (select from audit_before) then
    execute format('alter table audit_before rename to %I', 'audit_until_' || border);
    execute format('alter table audit attach partition %I for values from (minvalue) to (%L)', 'audit_until_' || border, to_timestamp(border));
  else
    drop table audit_before;
  end if;
end
$$;
create table audit_other partition of audit default;

-- One for each filter of GET /audit, in its order.
create index audit_actor on audit (actor_client_id, id);
create index audit_target on audit (target, id);
create index audit_action on audit (action text_pattern_ops, id);

select setval(pg_get_serial_sequence('audit', 'id'), max(id)) from audit having max(id) is not null;

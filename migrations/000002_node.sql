-- Who answers from memory in strict mode: a revocation waits until each live node has applied it (docs/coherence.md).
create table node (
  -- of one process, never used again
  node_id uuid primary key,
  -- by this database's clock; afterwards nobody waits for the node
  live_until timestamptz not null,
  -- position in the change log up to which it has applied everything, when it last said so
  applied_seq bigint not null,
  -- how old what it answers from may be
  max_staleness_ms integer not null
);

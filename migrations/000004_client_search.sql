-- GET /clients?q=&scope=&disabled=. What is searched for is found by its parts of one to three letters: what pg_trgm does, which is not everywhere. The
-- line feed is in neither id nor name, and in no text that is searched for.
create function client_text(client_id text, registration jsonb) returns text language sql immutable parallel safe as $$
  select lower(client_id || chr(10) || coalesce(registration ->> 'client_name', ''))
$$;
create function text_parts(value text, sizes integer[]) returns text[] language sql immutable parallel safe as $$
  select array(select distinct substr(value, at, size) from unnest(sizes) as size, generate_series(1, length(value) - size + 1) as at)
$$;
-- Without a list of what is still to be added, which every search would have to go through.
create index client_search on client using gin (scope, text_parts(client_text(client_id, registration), '{1,2,3}')) with (fastupdate = off)
  where deleted_at is null;
create index client_disabled on client (disabled, client_id) where deleted_at is null;

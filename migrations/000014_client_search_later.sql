-- What client_search costs is most of what an import costs: a client with a UUID has more than a hundred parts. So who imports leaves that for later, row by
-- row and in the background (src/postgres/search-indexing.ts); until then a search walks through what is not in the index yet. Apart from the migration
-- before, which locks the table for all, and with the old index to the last: while the new one is being made, clients can be read, and searched for by
-- servers of the version before. Afterwards these walk through all clients.
create index client_search_later on client using gin (scope, text_parts(client_text(client_id, registration), '{1,2,3}')) with (fastupdate = off)
  where deleted_at is null and searchable;
create index client_not_searchable on client (client_id) where not searchable;
drop index client_search;
alter index client_search_later rename to client_search;

/** Clients that were imported become part of the index of the search, in the background: that costs more than all else about them. */
import type { Db } from './db.ts';

export interface SearchIndexing {
  /** There may be some. Waits until nobody has said so for a while: an import that goes on has the machine for itself. */
  readonly wake: () => void;
  readonly close: () => Promise<void>;
}

/** Each takes some milliseconds, and nobody is to wait long for a client that is locked meanwhile. */
const BATCH = 25;
const QUIET_MS = 10_000;

/** @param onError they stay as they are until the next time, and a search finds them all the same */
export function searchIndexing(db: Pick<Db, 'query'>, onError: (error: unknown) => void, quietMs = QUIET_MS): SearchIndexing {
  let timer: NodeJS.Timeout | undefined;
  let work: Promise<void> | undefined;
  let isClosed = false;
  const indexAll = async () => {
    for (;;) {
      const since = performance.now();
      if (isClosed || (await indexSome(db)) === 0) return;
      // As long as it took: half of one core of PostgreSQL, whatever is waiting.
      await new Promise((resolve) => setTimeout(resolve, performance.now() - since));
    }
  };
  const start = () => {
    work ??= indexAll()
      .catch(onError)
      .finally(() => {
        work = undefined;
      });
  };
  return {
    wake() {
      if (isClosed) return;
      clearTimeout(timer);
      timer = setTimeout(start, quietMs).unref();
    },
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await work;
    },
  };
}

/** What a change or another node has locked is passed over: it is found again. @returns how many */
async function indexSome(db: Pick<Db, 'query'>): Promise<number> {
  const rows = await db.query({
    name: 'make-clients-searchable',
    text: `update client set searchable = true
      where client_id in (select client_id from client where not searchable limit ${BATCH} for no key update skip locked)
      returning 1`,
  });
  return rows.length;
}

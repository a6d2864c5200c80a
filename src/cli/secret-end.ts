/** When secrets end, for people: of what is near, how near it is. Times are RFC 3339, as the server writes them. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const NEAR_MS = 30 * DAY_MS;

/** @returns `expires 2030-…`, with the time that is left if that is short; or `ended 2020-…` */
export function endOf(expiresAt: string, nowMs: number): string {
  const leftMs = Date.parse(expiresAt) - nowMs;
  if (leftMs <= 0) return `ended ${expiresAt}`;
  return leftMs <= NEAR_MS ? `expires ${expiresAt} (in ${span(leftMs)})` : `expires ${expiresAt}`;
}

/**
 * @param expiries of all secrets of a client; `undefined`: one that does not end
 * @returns when the next one ends; `-` if none does; `ended` if no secret is left that is good
 */
export function nextEnd(expiries: readonly (string | undefined)[], nowMs: number): string {
  const left = expiries.map((end) => (end === undefined ? Number.POSITIVE_INFINITY : Date.parse(end) - nowMs)).filter((ms) => ms > 0);
  if (left.length === 0) return expiries.length === 0 ? '-' : 'ended';
  const nextMs = Math.min(...left);
  if (nextMs === Number.POSITIVE_INFINITY) return '-';
  return nextMs <= NEAR_MS ? `in ${span(nextMs)}` : new Date(nowMs + nextMs).toISOString().slice(0, 10);
}

function span(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} d`;
  if (ms >= 2 * HOUR_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${Math.max(1, Math.floor(ms / MINUTE_MS))} min`;
}

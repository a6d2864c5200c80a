import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { AuthServerError, type FeedPage } from '../../src/resource-server/auth-server.ts';
import { FeedFollower, type FeedFollowerOptions } from '../../src/resource-server/feed-follower.ts';
import { until } from '../support/server.ts';

const entry = (n: number) => ({ cursor: `${n}-00000000`, exp: 2_000_000_000, revoked_at: '2027-01-15T08:00:00.000Z', token_hash: `${n}` });
const page = (from: number, to: number, hasMore = false): FeedPage => ({
  items: Array.from({ length: to - from + 1 }, (_, n) => entry(from + n)),
  cursor: `${to}-00000000`,
  hasMore,
});

/** A server that answers with these pages, one after the other, and then not at all. */
function follow(
  t: { after(work: () => void): void },
  answers: readonly (FeedPage | Error | Promise<FeedPage>)[],
  { feedTokenMs = 60_000, ...options }: Partial<FeedFollowerOptions> & { readonly feedTokenMs?: number } = {},
) {
  /** what a stream says, before it says nothing more */
  const said: string[] = [];
  const seen = {
    cancelled: 0,
    asked: [] as (string | undefined)[],
    entries: [] as (string | undefined)[],
    streams: [] as string[],
    forgotten: 0,
    problems: 0,
  };
  const server = {
    feedTokenMs,
    async feedPage(after: string | undefined) {
      seen.asked.push(after);
      const answer = await (answers[seen.asked.length - 1] ?? new Promise<FeedPage>(() => undefined));
      if (answer instanceof Error) throw answer;
      return answer;
    },
    async feedStream(cursor: string, signal: AbortSignal) {
      seen.streams.push(cursor);
      const text = said.shift();
      return new ReadableStream<Uint8Array>({
        start(controller) {
          if (text !== undefined) controller.enqueue(Buffer.from(text));
          signal.addEventListener('abort', () => controller.error(signal.reason));
        },
        cancel: () => void seen.cancelled++,
      });
    },
  };
  const follower = new FeedFollower({
    server,
    from: 'beginning',
    maxSilenceMs: 60_000,
    timeoutMs: 60_000,
    onEntry: ({ token_hash }) => seen.entries.push(token_hash),
    onForget: () => seen.forgotten++,
    onProblem: () => seen.problems++,
    ...options,
  });
  t.after(() => follower.close());
  return { follower, seen, said };
}

test('page after page, then the stream from where they end; alive only once nothing is missing', async (t) => {
  let answerLast: (last: FeedPage) => void = () => undefined;
  const last = new Promise<FeedPage>((resolve) => {
    answerLast = resolve;
  });
  const { follower, seen } = follow(t, [page(1, 2, true), last]);
  await until(() => seen.asked.length === 2, 1_000);
  assert.deepEqual([follower.isAlive, seen.entries, seen.streams], [false, ['1', '2'], []]);
  answerLast(page(3, 3));
  await follower.settled;
  assert.deepEqual([follower.isAlive, follower.history], [true, 1]);
  await until(() => seen.streams.length === 1, 1_000);
  assert.deepEqual([seen.asked, seen.entries, seen.streams], [[undefined, '2-00000000'], ['1', '2', '3'], ['3-00000000']]);
});

test('a failure between two pages: it goes on where it was', async (t) => {
  const { follower, seen } = follow(t, [page(1, 2, true), new AuthServerError('away'), page(3, 3)]);
  await until(() => follower.isAlive, 5_000);
  assert.deepEqual([seen.asked, seen.entries, seen.problems], [[undefined, '2-00000000', '2-00000000'], ['1', '2', '3'], 1]);
});

for (const [from, start] of [
  ['beginning', undefined],
  ['latest', 'latest'],
] as const) {
  test(`another history (410): forgotten, and anew from ${from}`, async (t) => {
    const { follower, seen } = follow(t, [page(1, 1, true), new AuthServerError('gone', 410), page(1, 0)], { from });
    await until(() => follower.isAlive, 5_000);
    assert.deepEqual([seen.asked, seen.forgotten, follower.history], [[start, '1-00000000', start], 1, 2]);
  });
}

test('who closes it while a page is under way gets no stream', async (t) => {
  let answer: (last: FeedPage) => void = () => undefined;
  const { follower, seen } = follow(t, [
    new Promise<FeedPage>((resolve) => {
      answer = resolve;
    }),
  ]);
  follower.close();
  answer(page(1, 1));
  await follower.settled;
  await turn();
  assert.deepEqual([seen.streams, seen.entries], [[], []]);
});

for (const [why, text] of [
  ['no JSON', 'data: {\n\n'],
  ['no entry', 'data: {"cursor":1}\n\n'],
] as const) {
  test(`what is not understood is not passed over: ${why}: the stream is ended, and read again from the last cursor`, async (t) => {
    const { follower, seen, said } = follow(t, [page(1, 1), page(2, 2)]);
    said.push(`data: ${JSON.stringify(entry(5))}\n\n${text}`);
    await until(() => seen.streams.length === 2, 5_000);
    assert.deepEqual([seen.asked, seen.cancelled, seen.problems], [[undefined, '5-00000000'], 1, 1]);
    assert.deepEqual(seen.entries, ['1', '5', '2']);
    assert.equal(follower.history, 1);
  });
}

test('before the token ends there is another connection, at once and without a problem', async (t) => {
  const { seen } = follow(t, [page(1, 1), page(2, 2)], { feedTokenMs: 600 });
  await until(() => seen.streams.length === 2, 5_000);
  assert.deepEqual([seen.asked, seen.problems], [[undefined, '1-00000000'], 0]);
});

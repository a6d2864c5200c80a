import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unavailable } from '../../src/core/ports.ts';
import type { RevocationPage } from '../../src/core/revocations.ts';
import { Feed, type FeedOptions } from '../../src/http/feed.ts';
import { readStream } from '../support/event-stream.ts';
import { until } from '../support/server.ts';

const EPOCH = 'abcdef01-0000-4000-8000-000000000000';
const allowed = async () => true;
const EVENT_BYTES = 300;

/** A log of so many entries, and a feed of it. */
function feedOf(t: { after(work: () => void): void }, options: Partial<FeedOptions> = {}) {
  const log = { length: 0, reads: 0, isAway: false };
  const list = async (after: number, limit: number): Promise<RevocationPage> => {
    log.reads++;
    if (log.isAway) throw new Unavailable('away');
    const readTo = Math.min(log.length, after + limit);
    const revocations = Array.from({ length: readTo - after }, (_, n) => ({
      seq: after + n + 1,
      kind: 'subject' as const,
      key: 's'.repeat(EVENT_BYTES - 150),
      jti: undefined,
      issuedBefore: 1,
      reason: undefined,
      at: new Date(0),
      expiresAt: 2_000_000_000,
    }));
    return { epoch: EPOCH, lastSeq: log.length, readTo, revocations };
  };
  const feed = new Feed({ store: { list }, isFresh: () => true, heartbeatMs: 10_000, marginSeconds: 2, ...options });
  t.after(() => feed.close());
  const append = (count = 1) => {
    log.length += count;
    feed.applied(log.length);
  };
  return { log, feed, append };
}
const ids = (events: readonly { readonly id: string }[]) => events.map(({ id }) => Number(id.split('-')[0]));
const upTo = (last: number, from = 1) => Array.from({ length: last - from + 1 }, (_, n) => from + n);

test('a thousand readers share one reading of the log for each change', async (t) => {
  const { log, feed, append } = feedOf(t);
  append(3);
  const streams = Array.from({ length: 1_000 }, () => readStream(feed.stream(3, allowed)));
  await until(() => feed.following === 1_000, 5_000);
  const before = log.reads;
  append();
  await Promise.all(streams.map((stream) => stream.has(1)));
  assert.equal(log.reads, before + 1);
  for (const stream of streams) assert.deepEqual(ids(stream.events), [4]);
});

test('a reader that begins far behind reads page after page while others go on, and misses and repeats nothing', async (t) => {
  const { feed, append } = feedOf(t);
  append(1_700);
  const early = readStream(feed.stream(1_700, allowed));
  await until(() => feed.following === 1, 5_000);
  const late = readStream(feed.stream(0, allowed));
  for (let n = 0; n < 40; n++) {
    append();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all([late.has(1_740), early.has(40)]);
  assert.deepEqual(ids(late.events), upTo(1_740));
  assert.deepEqual(ids(early.events), upTo(1_740, 1_701));
});

test('what could not be read in an outage is told when the log can be read again', async (t) => {
  const { log, feed, append } = feedOf(t);
  const stream = readStream(feed.stream(0, allowed));
  await until(() => feed.following === 1, 5_000);
  log.isAway = true;
  append();
  await until(() => log.reads > 1, 5_000);
  log.isAway = false;
  assert.deepEqual(stream.events, []);
  feed.applied(log.length); // the next look, which finds nothing new
  await stream.has(1);
});

test('a reader that does not keep up is cut off; the others are not held up', async (t) => {
  const { feed, append } = feedOf(t);
  const slow = feed.stream(0, allowed);
  const quick = readStream(feed.stream(0, allowed));
  await until(() => feed.following === 2, 5_000);
  const needed = Math.ceil((512 * 1024) / EVENT_BYTES);
  append(needed);
  await quick.has(needed);
  assert.deepEqual([feed.readers, feed.cutOff], [1, 1]);
  await assert.rejects(async () => {
    for await (const _ of slow);
  }, /does not keep up/);
});

test('a reader that begins far behind and does not read holds no more than a page or so', async (t) => {
  const { log, feed, append } = feedOf(t);
  append(100_000);
  const idle = feed.stream(0, allowed);
  await until(() => log.reads > 0, 5_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(log.reads < 5, `${log.reads}`);
  await idle.cancel();
});

test('there is a heartbeat while this node knows that nothing is missing, and none otherwise', async (t) => {
  let isFresh = true;
  const { log, feed, append } = feedOf(t, { isFresh: () => isFresh, heartbeatMs: 20 });
  const stream = readStream(feed.stream(0, allowed));
  const beats = () => stream.text().match(/^: /gm)?.length ?? 0;
  await until(() => beats() > 1, 5_000);
  isFresh = false;
  const stale = beats();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(beats() <= stale + 1);
  isFresh = true;
  log.isAway = true;
  append();
  const untold = beats();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(beats() <= untold + 1);
});

test("a reader whose token has ended is ended with the next heartbeat; one whose token can't be looked at stays", async (t) => {
  const { feed } = feedOf(t, { heartbeatMs: 20 });
  let isAllowed: () => Promise<boolean> = () => Promise.reject(new Unavailable('away'));
  const stream = readStream(feed.stream(0, () => isAllowed()));
  await until(() => stream.text().includes(': '), 5_000);
  assert.equal(stream.isOver(), false);
  isAllowed = async () => false;
  await until(() => stream.isOver(), 5_000);
  assert.equal(feed.readers, 0);
});

test('who went away is not told, and the log is not read for nobody', async (t) => {
  const { log, feed, append } = feedOf(t);
  const stream = readStream(feed.stream(0, allowed));
  await until(() => feed.following === 1, 5_000);
  stream.close();
  await until(() => feed.readers === 0, 5_000);
  const before = log.reads;
  append();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([log.reads, feed.isFollowed], [before, false]);
});

test('who joins while the others are being told, and they go away, misses nothing', async (t) => {
  let answer: () => void = () => undefined;
  const entry = (seq: number) => ({
    seq,
    kind: 'subject' as const,
    key: 'somebody',
    jti: undefined,
    issuedBefore: 1,
    reason: undefined,
    at: new Date(0),
    expiresAt: 2_000_000_000,
  });
  const held = new Set<number>();
  let last = 110;
  const list = async (after: number): Promise<RevocationPage> => {
    const lastSeq = last;
    const revocations = Array.from({ length: lastSeq - after }, (_, n) => entry(after + n + 1));
    if (held.delete(after)) {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
    }
    return { epoch: EPOCH, lastSeq, readTo: lastSeq, revocations };
  };
  const feed = new Feed({ store: { list }, isFresh: () => true, heartbeatMs: 10_000, marginSeconds: 2 });
  t.after(() => feed.close());
  feed.applied(110);
  const old = readStream(feed.stream(110, allowed));
  await until(() => feed.following === 1, 5_000);
  // The new one has read up to 110 and waits for its answer, while the old one is told up to 115, and 116 is on its way to it.
  held.add(100);
  const late = readStream(feed.stream(100, allowed));
  await until(() => held.size === 0, 5_000);
  const answerLate = answer;
  last = 115;
  feed.applied(115);
  await old.has(5);
  held.add(115);
  last = 116;
  feed.applied(116);
  await until(() => held.size === 0, 5_000);
  const answerOld = answer;
  old.close();
  await until(() => feed.readers === 1, 5_000);
  answerLate();
  await until(() => feed.following === 1, 5_000);
  answerOld();
  await late.has(16);
  assert.deepEqual(ids(late.events), upTo(116, 101));
});

test('a reader in the middle of a long way is ended with the server, and with its token', async (t) => {
  const { log, feed, append } = feedOf(t, { heartbeatMs: 20 });
  append(100_000);
  let isAllowed = true;
  const stream = feed.stream(0, async () => isAllowed);
  await until(() => log.reads > 0, 5_000);
  assert.deepEqual([feed.readers, feed.following], [1, 0]);
  isAllowed = false;
  await until(() => feed.readers === 0, 5_000);
  await stream.cancel();
  const other = feed.stream(0, allowed);
  feed.close();
  assert.equal(feed.readers, 0);
  await other.cancel();
});

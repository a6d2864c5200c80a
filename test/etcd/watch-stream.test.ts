/** What a real etcd says rarely or never, from one that follows a script: where a watch resumes, and when it does not trust its place. */
import assert from 'node:assert/strict';
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { deframer, frame } from '../../src/etcd/grpc.ts';
import { METHODS, RangeRequest, RangeResponse, StatusResponse, WatchRequest, WatchResponse } from '../../src/etcd/messages.ts';
import { decode, encode, type Input, type Message } from '../../src/etcd/wire.ts';
import { client } from '../support/etcd.ts';
import { until } from '../support/server.ts';
import { watching } from '../support/watching.ts';

type Answer = Input<typeof WatchResponse>;

interface Script {
  /** what the n-th stream of a watch says; then the connection ends, except after the last */
  readonly streams: readonly (readonly (Answer | Buffer)[])[];
  /** the header of the read before the n-th stream; the last one stays */
  readonly headers?: readonly Input<typeof RangeResponse.fields.header.type>[];
  /** events up to here are compacted */
  readonly compacted?: number;
}

/** @returns what was asked for: the start revisions of the streams */
async function scripted(t: TestContext, { streams, headers = [], compacted = 0 }: Script) {
  const starts: number[] = [];
  const sessions = new Set<ServerHttp2Session>();
  const reply = (stream: ServerHttp2Stream, status: string, message?: Buffer) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
    stream.end(message && frame(message));
  };
  const answer = <M extends Message>(stream: ServerHttp2Stream, table: M, value: Input<M>) => reply(stream, '0', encode(table, value));
  const header = () => headers[Math.min(starts.length, headers.length - 1)] ?? { clusterId: 1n, raftTerm: 2n, revision: 10 };
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, { ':path': path }) => {
    stream.on('error', () => undefined);
    const take = deframer((bytes) => {
      if (path === METHODS.status.path) return answer(stream, StatusResponse, { version: '3.6.0', header: header() });
      if (path === METHODS.range.path) {
        const { revision } = decode(RangeRequest, bytes);
        return revision > 0 && revision < compacted ? reply(stream, '11') : answer(stream, RangeResponse, { header: header() });
      }
      const said = streams[starts.length] ?? [];
      const isLast = starts.push(decode(WatchRequest, bytes).createRequest?.startRevision ?? 0) >= streams.length;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      for (const each of said) stream.write(frame(Buffer.isBuffer(each) ? each : encode(WatchResponse, each)));
      // Behind what was written.
      if (!isLast) stream.session?.ping(() => stream.session?.destroy());
    });
    stream.on('data', take);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const cleaning: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const clean of cleaning) await clean();
    for (const session of sessions) session.destroy();
    server.close();
  });
  const etcd = client(
    { after: (work) => void cleaning.push(work) },
    { endpoints: [`127.0.0.1:${(server.address() as AddressInfo).port}`] },
  );
  return { etcd, starts };
}

const created = (revision: number): Answer => ({ created: true, header: { clusterId: 1n, revision } });
const event = (modRevision: number, key = String(modRevision)) => ({ type: 'PUT' as const, kv: { key, modRevision } });
const events = (...revisions: readonly number[]): Answer => ({ events: revisions.map((revision) => event(revision)) });
const part = (...revisions: readonly number[]): Answer => ({ ...events(...revisions), fragment: true });

const CASES: readonly (Script & { readonly why: string; readonly from?: number; readonly starts: number[]; readonly told: RegExp })[] = [
  {
    why: 'the header of `created` moves nothing: what was missed is asked for again',
    from: 5,
    streams: [[created(10)], [created(10)], [created(10), events(5, 6, 7)]],
    starts: [5, 5, 5],
    told: /^created again again 5 6 7$/,
  },
  {
    why: 'without a start: the one after the present, and the same one later',
    streams: [[created(12)], [created(14), events(14)]],
    starts: [11, 11],
    told: /^created again 14$/,
  },
  {
    why: 'it resumes behind the last event',
    from: 5,
    streams: [
      [created(10), events(5, 6)],
      [created(10), events(7)],
    ],
    starts: [5, 7],
    told: /^created 5 6 again 7$/,
  },
  {
    why: 'lost between two fragments: their revision comes again, from its beginning',
    from: 5,
    streams: [
      [created(10), part(5, 6), part(6)],
      [created(10), part(6), part(6), events(6)],
    ],
    starts: [5, 6],
    told: /^created 5 6 6 again 6 6 6$/,
  },
  {
    why: 'lost behind the last fragment: it goes on behind it',
    from: 5,
    streams: [
      [created(10), part(5, 6), events(6)],
      [created(10), events(7)],
    ],
    starts: [5, 7],
    told: /^created 5 6 6 again 7$/,
  },
  {
    why: 'events of the past on a watch of the future are left out (etcd 3.5.21)',
    from: 20,
    streams: [[created(10), events(8, 9), events(20)]],
    starts: [20],
    told: /^created 20$/,
  },
  {
    why: 'answers of progress move nothing',
    from: 5,
    streams: [
      [created(10), { watchId: -1, header: { revision: 10 } }],
      [created(10), events(5)],
    ],
    starts: [5, 5],
    told: /^created again 5$/,
  },
  {
    why: 'another cluster',
    from: 5,
    streams: [
      [created(10), events(5)],
      [created(40), events(41)],
    ],
    headers: [
      { clusterId: 1n, revision: 10 },
      { clusterId: 2n, revision: 40 },
    ],
    starts: [5, 41],
    told: /^created 5 gap: this is another cluster again 41$/,
  },
  {
    why: 'a snapshot was restored: the revision went back behind an event that was heard',
    from: 5,
    streams: [
      [created(10), events(12)],
      [created(11), events(12)],
    ],
    headers: [
      { clusterId: 1n, revision: 10 },
      { clusterId: 1n, revision: 11 },
    ],
    starts: [5, 12],
    told: /^created 12 gap: the revision went back from 12 to 11 again 12$/,
  },
  {
    why: 'the term of the new history is younger',
    from: 5,
    streams: [
      [created(10), events(5)],
      [created(50), events(51)],
    ],
    headers: [
      { clusterId: 1n, raftTerm: 7n, revision: 10 },
      { clusterId: 1n, raftTerm: 2n, revision: 50 },
    ],
    starts: [5, 51],
    told: /^created 5 gap: the term went back from 7 to 2 again 51$/,
  },
  {
    why: 'the past is compacted',
    from: 5,
    compacted: 7,
    streams: [[created(10), events(11)]],
    starts: [11],
    told: /^gap: events from revision 5 on are compacted created 11$/,
  },
  {
    why: 'the very revision is compacted, where deletions may be lacking',
    from: 5,
    compacted: 5,
    streams: [[created(10)]],
    starts: [11],
    told: /^gap: .*compacted created$/,
  },
  {
    why: 'it is compacted after the watch was created',
    from: 5,
    streams: [
      [created(10), { canceled: true, compactRevision: 9 }],
      [created(10), events(11)],
    ],
    starts: [5, 11],
    told: /^created gap: events up to revision 9 are compacted again 11$/,
  },
  {
    why: 'it is cancelled without a reason',
    from: 5,
    streams: [
      [created(10), events(5), { canceled: true }],
      [created(10), events(6)],
    ],
    starts: [5, 6],
    told: /^created 5 again 6$/,
  },
  {
    why: 'an answer that cannot be read',
    from: 5,
    streams: [
      [created(10), Buffer.from('10ff', 'hex')],
      [created(10), events(11)],
    ],
    starts: [5, 11],
    told: /^created gap: truncated again 11$/,
  },
];
for (const { why, from, starts, told, ...script } of CASES) {
  test(`a watch: ${why}`, async (t) => {
    const fake = await scripted(t, script);
    const heard: string[] = [];
    const watch = watching(fake.etcd, { prefix: '/', ...(from !== undefined && { startRevision: from }) }, (what) => heard.push(what));
    await until(() => told.test(heard.join(' ')), 5_000).catch(() => assert.fail(heard.join(' ')));
    assert.deepEqual(fake.starts, starts);
    watch.close();
  });
}

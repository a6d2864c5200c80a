/** The framing and the ends of calls, against servers that are not etcd. */
import assert from 'node:assert/strict';
import { type ClientHttp2Session, connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { EtcdError } from '../../src/etcd/errors.ts';
import { deframer, frame, openStream, unary } from '../../src/etcd/grpc.ts';

test('messages are put together from pieces of any size', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (given, sizes) => {
      const bytes = Buffer.concat(given.map(frame));
      const taken: number[][] = [];
      const take = deframer((message) => taken.push([...message]));
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length] as number;
        take(bytes.subarray(at, at + size));
        at += size;
      }
      assert.deepEqual(
        taken,
        given.map((message) => [...message]),
      );
    }),
  );
});

test('a message that is too large, or compressed, is refused at its first bytes', () => {
  const codeOf = (bytes: Buffer, max: number) => {
    try {
      deframer(() => undefined, max)(bytes);
      return 0;
    } catch (error) {
      return (error as EtcdError).code;
    }
  };
  assert.deepEqual(
    [codeOf(frame(Buffer.alloc(10)), 10), codeOf(Buffer.from('000000000b', 'hex'), 10), codeOf(Buffer.from('0100000001', 'hex'), 10)],
    [0, 8, 12],
  );
});

async function sessionWith(
  t: TestContext,
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<ClientHttp2Session> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    answer(stream, headers);
  });
  server.on('session', (each) => each.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on('error', () => undefined);
  t.after(() => {
    session.destroy();
    server.close();
  });
  return session;
}

const GRPC = { ':status': 200, 'content-type': 'application/grpc' };
const trailers = (status: string, message = '') => ({ 'grpc-status': status, ...(message && { 'grpc-message': message }) });
function answerWith(bytes: Buffer, last: Record<string, string>) {
  return (stream: ServerHttp2Stream) => {
    stream.respond(GRPC, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(last));
    stream.end(bytes);
  };
}

const ENDS: readonly [why: string, answer: (stream: ServerHttp2Stream) => void, code: number, text: RegExp][] = [
  ['a status in trailers', answerWith(Buffer.alloc(0), trailers('7', 'no%2C%20%C3%A4h')), 7, /^no, äh$/],
  [
    'a status in headers that are the whole answer',
    (s) => s.respond({ ...GRPC, ...trailers('3', 'wrong') }, { endStream: true }),
    3,
    /^wrong$/,
  ],
  ['a message that is not encoded', answerWith(Buffer.alloc(0), trailers('9', '100%')), 9, /^100%$/],
  ['a status that is no number', answerWith(Buffer.alloc(0), trailers('x')), 2, /status 2/],
  ['OK without a message', answerWith(Buffer.alloc(0), trailers('0')), 13, /nothing else/],
  ['a message without a status', answerWith(frame(Buffer.from('x')), {}), 14, /did not answer/],
  ['HTTP 404', (s) => s.respond({ ':status': 404 }, { endStream: true }), 14, /not etcd.*404/],
  [
    'a web page',
    (s) => {
      s.respond({ ':status': 200, 'content-type': 'text/html' });
      s.end('<html>');
    },
    14,
    /not etcd/,
  ],
  ['a reset', (s) => s.close(7), 14, /did not answer/],
  ['the end of the connection', (s) => s.session?.destroy(), 14, /did not answer/],
  ['no answer', () => undefined, 4, /within 200 ms/],
  [
    'a message without an end',
    (s) => {
      s.respond(GRPC);
      s.write(frame(Buffer.alloc(9)).subarray(0, 9));
    },
    4,
    /within 200 ms/,
  ],
  [
    'a message of 4 GiB',
    (s) => {
      s.respond(GRPC);
      s.write(Buffer.from('00ffffffff', 'hex'));
    },
    8,
    /4294967295 bytes/,
  ],
];
for (const [why, answer, code, text] of ENDS) {
  test(`a call ends with ${code}: ${why}`, async (t) => {
    const session = await sessionWith(t, answer);
    await assert.rejects(unary(session, '/a/b', {}, Buffer.from('request'), { deadlineMs: 200 }), (error) => {
      assert.ok(error instanceof EtcdError);
      assert.match(error.message, text);
      return error.code === code;
    });
  });
}

test('a call carries its request, its deadline and its metadata', async (t) => {
  let seen: IncomingHttpHeaders = {};
  const session = await sessionWith(t, (stream, headers) => {
    seen = headers;
    stream.once('data', (chunk: Buffer) => answerWith(frame(chunk.subarray(5)), trailers('0'))(stream));
  });
  const answer = await unary(session, '/a/b', { token: 'x' }, Buffer.from('echo'), { deadlineMs: 4_999.5 });
  assert.equal(answer.toString(), 'echo');
  assert.deepEqual([seen[':path'], seen['grpc-timeout'], seen.token, seen.te], ['/a/b', '5000m', 'x', 'trailers']);
});

test('a call can be cancelled, before and while it waits', async (t) => {
  const session = await sessionWith(t, () => undefined);
  const controller = new AbortController();
  const call = () => unary(session, '/a/b', {}, Buffer.alloc(0), { deadlineMs: 5_000, signal: controller.signal });
  const waiting = call();
  controller.abort();
  for (const each of [waiting, call()]) await assert.rejects(each, { code: 1 });
});

test('a session that has ended answers 14, and what a handler throws ends the call with 13', async (t) => {
  const session = await sessionWith(t, (stream) => {
    stream.respond(GRPC);
    stream.write(frame(Buffer.from('x')));
  });
  const ended = new Promise<EtcdError | undefined>((resolve) => {
    const onMessage = () => {
      throw new Error('a bug');
    };
    openStream(session, '/a/b', {}, { onMessage, onEnd: resolve });
  });
  assert.equal((await ended)?.code, 13);
  session.destroy();
  await assert.rejects(unary(session, '/a/b', {}, Buffer.alloc(0), { deadlineMs: 200 }), { code: 14 });
});

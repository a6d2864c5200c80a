/** HTTP in front of a server: counts what is asked, holds answers back, drops headers. */
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cleanup } from './faults.ts';

export interface Held {
  /** The server has answered, and nobody knows yet. */
  readonly answered: Promise<void>;
  release(): void;
}

export interface HttpProxy {
  readonly url: string;
  /** how often this path was asked for */
  count(path: string): number;
  /** The next answer of this path. */
  hold(path: string): Held;
  /** Answers so itself, until it is told otherwise. */
  answerItself(path: string, status: number | undefined): void;
}

/** @param dropped a header of requests that does not pass */
export async function openHttpProxy(t: Cleanup, targetUrl: string, dropped?: string): Promise<HttpProxy> {
  const counts = new Map<string, number>();
  const holds = new Map<string, { answered(): void; readonly released: Promise<void> }>();
  const own = new Map<string, number>();
  const { hostname, port } = new URL(targetUrl);
  const server = createServer((asked, answer) => {
    const path = asked.url?.split('?', 1)[0] ?? '';
    counts.set(path, (counts.get(path) ?? 0) + 1);
    const status = own.get(path);
    if (status !== undefined) return void answer.writeHead(status, { 'content-type': 'application/json' }).end('{}');
    const pass = async (given: IncomingMessage) => {
      const hold = holds.get(path);
      holds.delete(path);
      hold?.answered();
      await hold?.released;
      answer.writeHead(given.statusCode ?? 502, given.headers);
      given.on('error', () => answer.destroy());
      given.pipe(answer);
      answer.flushHeaders();
    };
    const headers = { ...asked.headers };
    if (dropped !== undefined) delete headers[dropped];
    const passedOn = request({ hostname, port, path: asked.url, method: asked.method, headers }, (given) => void pass(given));
    passedOn.on('error', () => answer.destroy());
    answer.on('close', () => passedOn.destroy());
    asked.pipe(passedOn);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: (path) => counts.get(path) ?? 0,
    hold(path) {
      let release: () => void = () => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const answered = new Promise<void>((resolve) => holds.set(path, { answered: resolve, released }));
      return { answered, release };
    },
    answerItself(path, status) {
      if (status === undefined) own.delete(path);
      else own.set(path, status);
    },
  };
}

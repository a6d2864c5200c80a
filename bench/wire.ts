/** HTTP on raw sockets: a client library would cost more than the servers that are measured. */
import { connect, type Socket } from 'node:net';
import { basic } from '../test/support/client.ts';
import type { Credentials } from '../test/support/server.ts';

export interface FormRequest {
  readonly port: number;
  readonly path: string;
  readonly form: Readonly<Record<string, string>>;
  readonly credentials: Credentials;
  /** whole lines */
  readonly headers?: readonly string[];
}

/** A POST as it goes over the wire. */
export function formRequest({ port, path, form, credentials, headers = [] }: FormRequest): string {
  const body = new URLSearchParams(form).toString();
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: localhost:${port}`,
    `Authorization: ${basic(credentials)}`,
    'Accept: application/json',
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    ...headers,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** @returns where the body starts, once all of it is there; an answer without a length counts as one without a body, so as wrong */
export function bodyOfComplete(received: string): number | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received)?.[1];
  if (length === undefined) return received.length;
  const bodyAt = headEnd + 4;
  return received.length >= bodyAt + Number(length) ? bodyAt : undefined;
}

export interface WireAnswer {
  readonly status: number;
  readonly body: string;
  /** `performance.now()` when it was complete */
  readonly at: number;
  /** since the request was written */
  readonly ms: number;
}

/** One keep-alive connection, one request at a time. */
export interface Connection {
  ask(request: string): Promise<WireAnswer>;
  close(): void;
}

export function openConnection(port: number): Connection {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let received = '';
  let sentAt = 0;
  let waiting: { resolve(answer: WireAnswer): void; reject(error: Error): void } | undefined;
  socket.setEncoding('latin1');
  socket.on('data', (chunk: unknown) => {
    received += String(chunk);
    const bodyAt = bodyOfComplete(received);
    if (bodyAt === undefined) return;
    const at = performance.now();
    const answer = { status: Number(received.slice(9, 12)), body: received.slice(bodyAt), at, ms: at - sentAt };
    received = '';
    waiting?.resolve(answer);
  });
  socket.on('error', (error) => waiting?.reject(error));
  socket.on('close', () => waiting?.reject(new Error('the server closed the connection')));
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        sentAt = performance.now();
        socket.write(request, 'latin1');
      }),
    close: () => void socket.destroy(),
  };
}

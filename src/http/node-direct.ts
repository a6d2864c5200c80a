/**
 * The endpoints that everything else waits for, without a framework in front of them: the same handlers, which see so much of a request as they look at,
 * on Node's own objects. On another runtime this file is not needed.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NodeResponse } from 'srvx/node';
import { BODY_BYTES_MAX } from './body.ts';

export type Handler = (request: Request) => Promise<Response>;

/** @param handler never rejects but by mistake */
export async function answerDirectly(handler: Handler, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await handler(new DirectRequest(message) as unknown as Request);
  // In one piece: srvx would write the head and the body apart.
  const { status, statusText, headers, body } = (answer as NodeResponse)._toNodeResponse();
  response.writeHead(status, statusText, headers);
  response.end(body);
}

/** Says what a handler asks of a `Request`, and of srvx's: a member that is missing here is an error of the types where a handler is given one of these. */
class DirectRequest implements Pick<Request, 'method' | 'url' | 'text'> {
  readonly headers: Pick<Headers, 'get' | 'has'>;
  readonly #message: IncomingMessage;

  constructor(message: IncomingMessage) {
    this.#message = message;
    this.headers = {
      // The listener has refused a second one of those that Node would drop; others it joins as `Headers` does.
      get: (name) => (message.headers[name] as string | undefined) ?? null,
      has: (name) => message.headers[name] !== undefined,
    };
  }

  get method(): string {
    return this.#message.method ?? '';
  }

  get url(): string {
    const { headers, url } = this.#message;
    return `http://${headers.host || 'localhost'}${url}`;
  }

  get ip(): string | undefined {
    return this.#message.socket.remoteAddress;
  }

  /** @throws Error with `statusCode` 413 — more than the listener reads of any body; or without, when the sender went away */
  text(): Promise<string> {
    return new Promise((resolve, reject) => {
      const message = this.#message;
      const chunks: Buffer[] = [];
      let bytes = 0;
      message.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > BODY_BYTES_MAX) {
          message.pause();
          reject(Object.assign(new Error('the body is too large'), { statusCode: 413 }));
          return;
        }
        chunks.push(chunk);
      });
      message.on('end', () => resolve(textOf(chunks)));
      message.on('error', reject);
      message.on('close', () => reject(new Error('the sender went away')));
    });
  }
}

/** As `Request.text` decodes it: without a byte order mark. A decoder that is made for each body takes 5 % of an introspection. */
function textOf(chunks: readonly Buffer[]): string {
  const [only] = chunks;
  const text = (only && chunks.length === 1 ? only : Buffer.concat(chunks)).toString();
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

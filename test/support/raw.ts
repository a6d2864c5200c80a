/** HTTP as fetch would not send it: doubled headers, broken lines, other spellings. */
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly text: string;
}

/** @param lines joined by CRLF: the request line, headers, an empty line, the body */
export function rawRequest(url: string, lines: readonly string[]): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.write(lines.join('\r\n')));
    const done = () => {
      socket.destroy();
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text });
    };
    socket.setTimeout(3_000, done);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      // The rest of an answer is not waited for where only its status matters and the sender is still at it.
      if (/^HTTP\/1\.1 413/.test(text)) done();
    });
    socket.on('end', done);
    socket.on('error', (error) => (text ? done() : reject(error)));
  });
}

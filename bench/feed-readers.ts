/** Many readers of the feed, a process of their own: how long after a revocation's answer the last of them has its entry. On raw sockets, as the load is. */
import { connect, type Socket } from 'node:net';

export interface ReadersOrder {
  readonly port: number;
  readonly token: string;
  readonly readers: number;
}

/** What the parent is told of an entry that has reached all of them: by the clock that both processes have. */
export interface Reached {
  readonly tokenHash: string;
  readonly firstAt: number;
  readonly lastAt: number;
}

export type ReadersMessage =
  | { readonly kind: 'ready' }
  | ({ readonly kind: 'reached' } & Reached)
  | { readonly kind: 'lost'; readonly why: string };

const OPENED_AT_ONCE = 50;
const EVENT = /data: [^\n]*"token_hash":"([^"]+)"/g;
/** An event that is cut in two. */
const REST_MAX = 4_096;

if (process.send) {
  process.on('message', (order: ReadersOrder) => void run(order));
  process.once('disconnect', () => process.exit());
}

async function run(order: ReadersOrder): Promise<void> {
  const arrivals = new Map<string, { count: number; readonly firstAt: number }>();
  const onEntry = (tokenHash: string) => {
    const at = now();
    const arrival = arrivals.get(tokenHash) ?? { count: 0, firstAt: at };
    arrivals.set(tokenHash, arrival);
    if (++arrival.count < order.readers) return;
    arrivals.delete(tokenHash);
    tell({ kind: 'reached', tokenHash, firstAt: arrival.firstAt, lastAt: at });
  };
  for (let opened = 0; opened < order.readers; opened += OPENED_AT_ONCE) {
    const batch = Math.min(OPENED_AT_ONCE, order.readers - opened);
    await Promise.all(Array.from({ length: batch }, () => openReader(order, onEntry)));
  }
  tell({ kind: 'ready' });
}

/** Resolves once the stream has begun. */
function openReader({ port, token }: ReadersOrder, onEntry: (tokenHash: string) => void): Promise<void> {
  const lines = [
    'GET /revocations?after=latest HTTP/1.1',
    `Host: localhost:${port}`,
    `Authorization: Bearer ${token}`,
    'Accept: text/event-stream',
  ];
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.setEncoding('latin1');
  socket.on('connect', () => socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'));
  socket.on('error', (error) => tell({ kind: 'lost', why: error.message }));
  socket.on('close', () => tell({ kind: 'lost', why: 'the server closed the connection' }));
  return new Promise((resolve) => {
    let rest = '';
    socket.on('data', (chunk: unknown) => {
      rest += String(chunk);
      if (rest.includes('retry: ')) resolve();
      const end = rest.lastIndexOf('\n\n');
      if (end < 0) {
        if (rest.length > REST_MAX) socket.destroy(new Error('not a stream of events'));
        return;
      }
      for (const [, tokenHash = ''] of rest.slice(0, end).matchAll(EVENT)) onEntry(tokenHash);
      rest = rest.slice(end + 2);
    });
  });
}

/** Milliseconds, comparable between processes of this machine. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function tell(message: ReadersMessage): void {
  process.send?.(message);
}

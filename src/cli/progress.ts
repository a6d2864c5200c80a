/** One line on a terminal that is written over; nothing anywhere else. */
const WIDTH = 30;

export interface Progress {
  /** @param total `undefined`: nobody knows */
  readonly show: (what: string, done: number, total: number | undefined) => void;
  /** Takes it away, before something else is written. */
  readonly clear: () => void;
}

export function openProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { show: () => undefined, clear: () => undefined };
  return {
    show(what, done, total) {
      const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
      const filled = Math.round((share ?? 0) * WIDTH);
      const bar =
        share === undefined ? '' : `[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${String(Math.floor(share * 100)).padStart(3)} % `;
      stream.write(`\r\u001b[K${bar}${what}`);
    },
    clear: () => void stream.write('\r\u001b[K'),
  };
}

/** How full etcd is. What is only a cache stops being written before the quota is reached: beyond it etcd takes nothing from anybody (`NOSPACE`). */
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import type { SecureContext } from 'node:tls';
import type { Etcd } from './client.ts';

/** etcd's own default. */
const QUOTA_DEFAULT = 2 * 1024 ** 3;
/** Of the quota. The file does not shrink by itself, but what is free in it is used again. */
const USED_MAX = 0.75;
const USED_AGAIN = 0.65;
const FILE_MAX = 0.9;
const ANSWER_MS = 1_000;
const METRICS_BYTES_MAX = 4 * 1024 * 1024;

export interface Room {
  /** Whether more may be written, as of the last {@link Room.look}. */
  isThere(): boolean;
  /** @throws EtcdError */
  look(): Promise<void>;
}

export function watchRoom(etcd: Pick<Etcd, 'status' | 'state'>, secureContext: SecureContext | undefined): Room {
  const quotas = new Map<string, number>();
  let isThere = true;
  return {
    isThere: () => isThere,
    async look() {
      const { dbSize, dbSizeInUse, dbSizeQuota, errors } = await etcd.status();
      const state = etcd.state();
      const endpoint = state.status === 'connected' ? state.endpoint : '';
      // Before 3.6 only the metrics tell the quota.
      if (dbSizeQuota === 0 && endpoint && !quotas.has(endpoint)) quotas.set(endpoint, await quotaOf(endpoint, secureContext));
      const quota = dbSizeQuota || quotas.get(endpoint) || QUOTA_DEFAULT;
      const used = (dbSizeInUse || dbSize) / quota;
      const isFull = errors.some((error) => error.includes('NOSPACE')) || dbSize / quota >= FILE_MAX;
      isThere = !isFull && used < (isThere ? USED_MAX : USED_AGAIN);
    },
  };
}

/** @returns bytes; 0 where it cannot be known: metrics may be elsewhere */
function quotaOf(endpoint: string, secureContext: SecureContext | undefined): Promise<number> {
  const url = new URL('/metrics', endpoint);
  const options = { timeout: ANSWER_MS, ...(secureContext && { secureContext }) };
  return new Promise((resolve) => {
    const unknown = () => resolve(0);
    const request = url.protocol === 'https:' ? getHttps(url, options) : getHttp(url, options);
    const patience = setTimeout(() => request.destroy(), ANSWER_MS).unref();
    request
      .on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
          if (text.length > METRICS_BYTES_MAX) request.destroy();
        });
        response.on('error', unknown).on('end', () => resolve(Number(/^etcd_server_quota_backend_bytes (\S+)$/m.exec(text)?.[1] ?? 0)));
      })
      .on('error', unknown)
      .on('close', () => {
        clearTimeout(patience);
        unknown();
      });
  });
}

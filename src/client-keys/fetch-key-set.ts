/**
 * One fetch of a client's `jwks_uri`. Whoever registers a client says where this server connects to, so everything about it has a limit: where, how long, how
 * much, and nothing is followed (RFC 9700 §4.11 has the redirects, the attacks are those of server-side request forgery).
 */
import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type ClientKey, isForEncryption, isUsable, type Jwk, KEYS_MAX, readClientKey } from '../core/client-keys.ts';
import { isPublicAddress } from './public-address.ts';

/** Resolving, connecting and reading together: an outage is to be said within two seconds. */
const FETCH_MS = 1_500;
const RESOLVE_MS = 1_000;
const BYTES_MAX = 64 * 1024;
const HEADER_BYTES_MAX = 8 * 1024;
/** How long keys are kept: what `Cache-Control` says, within these. */
const MAX_AGE_SECONDS = { min: 60, usual: 300, max: 3_600 };

export interface FetchedKeys {
  readonly keys: readonly ClientKey[];
  readonly maxAgeSeconds: number;
}

/** Says which rule was broken; nothing of what was answered. */
export class KeySetError extends Error {}

/**
 * @param internal whether addresses of this machine and its network may be connected to; only then also http, on this machine
 * @throws KeySetError, or what the network throws
 */
export async function fetchKeySet(uri: string, internal: 'refuse' | 'allow'): Promise<FetchedKeys> {
  const url = new URL(uri);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isOfThisMachine = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && internal === 'allow' && isOfThisMachine))
    throw new KeySetError('not https');
  // An address is connected to as it is: nobody looks it up.
  if (internal === 'refuse' && isIP(host) !== 0 && !isPublicAddress(host)) throw new KeySetError('an internal address');
  const response = await get(url, internal);
  return { keys: readKeySet(response.body), maxAgeSeconds: maxAgeOf(response.cacheControl) };
}

interface Got {
  readonly body: string;
  readonly cacheControl: string;
}

function get(url: URL, internal: 'refuse' | 'allow'): Promise<Got> {
  return new Promise((fulfil, reject) => {
    const options = {
      headers: { accept: 'application/jwk-set+json, application/json', 'accept-encoding': 'identity', 'user-agent': 'auth' },
      // A connection of its own each time: one that is kept may lead to where the name led before.
      agent: false,
      maxHeaderSize: HEADER_BYTES_MAX,
      // Whatever the environment says: who can answer here becomes the client.
      rejectUnauthorized: true,
      signal: AbortSignal.timeout(FETCH_MS),
      ...(internal === 'refuse' && { lookup: lookUpPublic }),
    };
    const onResponse = (response: IncomingMessage) => {
      read(response).then(fulfil, (error: unknown) => {
        request.destroy();
        reject(error);
      });
    };
    const request = url.protocol === 'https:' ? requestHttps(url, options, onResponse) : requestHttp(url, options, onResponse);
    request.on('error', (error) => reject(error.name === 'AbortError' ? new KeySetError(`no answer within ${FETCH_MS} ms`) : error));
    request.end();
  });
}

async function read(response: IncomingMessage): Promise<Got> {
  const { statusCode, headers } = response;
  if (statusCode !== 200) throw new KeySetError(`status ${statusCode}`);
  if (!/^application\/([a-z0-9.+-]+\+)?json\s*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new KeySetError('not JSON by its media type');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BYTES_MAX) throw new KeySetError(`more than ${BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return { body: Buffer.concat(chunks).toString(), cacheControl: headers['cache-control'] ?? '' };
}

/**
 * The address that is checked is the one that is connected to: a name that is resolved twice may have two answers. One internal address among several
 * refuses them all.
 */
export const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  addressesOf(hostname).then(
    (addresses) => {
      const [first] = addresses;
      if (!first || addresses.some(({ address }) => !isPublicAddress(address)))
        return callback(new KeySetError('resolves to nothing, or to an internal address'), '');
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    },
    (error: Error) => callback(error, ''),
  );
};

/**
 * By DNS alone, which gives up in time and takes none of the threads that `dns.lookup` does: names that nobody answers for would keep the host of PostgreSQL
 * from being found. What only /etc/hosts knows is no public name.
 */
async function addressesOf(hostname: string): Promise<LookupAddress[]> {
  const family = isIP(hostname);
  if (family !== 0) return [{ address: hostname, family }];
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return [];
  const resolver = new Resolver({ timeout: RESOLVE_MS, tries: 1 });
  const [v4, v6] = await Promise.all(
    [resolver.resolve4(hostname), resolver.resolve6(hostname)].map((asked) => asked.catch(() => [] as readonly string[])),
  );
  return [...(v4 ?? []).map((address) => ({ address, family: 4 })), ...(v6 ?? []).map((address) => ({ address, family: 6 }))];
}

/** Keys of other kinds, for other uses, or that give their private part away, are left out; a set without any is as good as none. */
function readKeySet(body: string): readonly ClientKey[] {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    throw new KeySetError('not JSON');
  }
  const keys = typeof document === 'object' && document !== null && 'keys' in document ? document.keys : undefined;
  if (!Array.isArray(keys)) throw new KeySetError('not a key set');
  if (keys.length > KEYS_MAX) throw new KeySetError(`more than ${KEYS_MAX} keys`);
  return keys
    .filter((jwk): jwk is Jwk => typeof jwk === 'object' && jwk !== null && !isForEncryption(jwk))
    .map(readClientKey)
    .filter(isUsable);
}

function maxAgeOf(cacheControl: string): number {
  const { min, usual, max } = MAX_AGE_SECONDS;
  if (/\bno-(store|cache)\b/i.test(cacheControl)) return min;
  const seconds = /\bmax-age="?(\d{1,9})\b/i.exec(cacheControl)?.[1];
  return seconds === undefined ? usual : Math.min(max, Math.max(min, Number(seconds)));
}

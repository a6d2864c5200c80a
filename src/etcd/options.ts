/** What an operator says about etcd, checked before anything is connected. */
import { type ConnectionOptions, createSecureContext } from 'node:tls';

export interface EndpointOptions {
  /** `host:port`, `http://host:port` or `https://host:port`, tried in this order. Without a scheme: https where there is one of `ca`, `cert` and `key`. */
  readonly endpoints: readonly string[];
  /** PEM: who may have signed etcd's certificate, instead of the usual authorities */
  readonly ca?: string | undefined;
  /** PEM: our certificate, and its key */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** the name in etcd's certificate, where it is not the host of the endpoint */
  readonly servername?: string | undefined;
}

/** @throws Error — what is wrong, for the operator; without the key */
export function readEndpoints({ endpoints, ca, cert, key, servername }: EndpointOptions): {
  readonly endpoints: readonly URL[];
  readonly tls: ConnectionOptions;
} {
  if (endpoints.length === 0) throw new Error('etcd: no endpoint');
  if ((cert === undefined) !== (key === undefined)) throw new Error('etcd: a certificate needs its key, and a key its certificate');
  const scheme = ca === undefined && cert === undefined ? 'http' : 'https';
  let secureContext: ReturnType<typeof createSecureContext>;
  try {
    secureContext = createSecureContext({ ca, cert, key });
  } catch (error) {
    throw new Error(`etcd: the certificates or the key cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  return {
    endpoints: endpoints.map((endpoint) => readEndpoint(endpoint, scheme)),
    tls: { secureContext, ...(servername !== undefined && { servername }) },
  };
}

function readEndpoint(endpoint: string, scheme: 'http' | 'https'): URL {
  const text = endpoint.includes('://') ? endpoint : `${scheme}://${endpoint}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url && /:\d+\/?$/.test(text) && url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password;
  // Not the text itself: an operator may have put a password into it.
  if (!url || !isBare || !/^https?:$/.test(url.protocol))
    throw new Error('etcd: an endpoint has to be host:port, http://host:port or https://host:port');
  return url;
}

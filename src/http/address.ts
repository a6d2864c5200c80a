import type { BlockList } from 'node:net';
import { isIP } from 'node:net';
import type { ServerRequest } from 'srvx';

/**
 * Where a request comes from. `X-Forwarded-For` is read from the right, and only while the hop before it is a trusted proxy; garbage
 * in it ends the walk.
 */
export function sourceAddress(request: ServerRequest, trustedProxies: BlockList | undefined): string {
  let address = normalize(request.ip ?? '');
  if (!trustedProxies) return address;
  const hops = (request.headers.get('x-forwarded-for') ?? '').split(',').map((hop) => normalize(hop.trim()));
  for (let hop = hops.pop(); hop !== undefined && isIP(hop) && isTrusted(address, trustedProxies); hop = hops.pop()) address = hop;
  return address;
}

function isTrusted(address: string, proxies: BlockList): boolean {
  return isIP(address) !== 0 && proxies.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** An IPv4 peer of a dual-stack listener shows as `::ffff:10.0.0.1`, a link-local one with its zone: `fe80::1%eth0`, which `inet` does not take. */
function normalize(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
}

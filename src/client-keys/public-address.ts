/** Which addresses are everybody's: where this server may be sent by what a client has registered. */
import { BlockList, isIP } from 'node:net';

/** IANA's special-purpose registry for IPv4, multicast, and what is reserved: this machine, its network, the metadata services of clouds. */
const INTERNAL_V4 = blocks('ipv4', [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24'],
  ...['192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
]);

/**
 * Of IPv6 what is given out is listed, not what is not: unique-local, link-local, multicast and the ways to write an IPv4 address in one (mapped,
 * compatible, NAT64) all lie outside.
 */
const GLOBAL_V6 = blocks('ipv6', ['2000::/3']);
/** Within that: protocol assignments with Teredo and ORCHID, documentation, 6to4. */
const SPECIAL_V6 = blocks('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20']);

/** @param address as a resolver gives it; whatever is no address is not public */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !INTERNAL_V4.check(address, 'ipv4');
  // With a zone it is of one link.
  if (isIP(address) !== 6 || address.includes('%')) return false;
  return GLOBAL_V6.check(address, 'ipv6') && !SPECIAL_V6.check(address, 'ipv6');
}

function blocks(family: 'ipv4' | 'ipv6', cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix] = cidr.split('/');
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}

import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ServerRequest } from 'srvx';
import { sourceAddress } from '../../src/http/address.ts';

const PROXIES = new BlockList();
PROXIES.addSubnet('10.0.0.0', 8, 'ipv4');
PROXIES.addAddress('2001:db8::1', 'ipv6');

function from(ip: string | undefined, forwarded?: string): ServerRequest {
  const headers = new Headers(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded });
  return { ip, headers } as unknown as ServerRequest;
}

for (const [why, ip, forwarded, expected] of [
  ['no proxy', '192.0.2.1', undefined, '192.0.2.1'],
  ['spoofed by a peer that is no proxy', '192.0.2.1', '198.51.100.9', '192.0.2.1'],
  ['a proxy that adds its peer', '10.0.0.1', '192.0.2.1', '192.0.2.1'],
  ['spoofed in front of what the proxy adds', '10.0.0.1', '198.51.100.9, 192.0.2.1', '192.0.2.1'],
  ['spoofed with a trusted address', '10.0.0.1', '10.9.9.9, 192.0.2.1', '192.0.2.1'],
  ['two proxies', '10.0.0.1', '192.0.2.1, 10.0.0.2', '192.0.2.1'],
  ['two proxies and spoofed', '10.0.0.1', '198.51.100.9, 192.0.2.1, 10.0.0.2', '192.0.2.1'],
  ['proxies all the way', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
  ['a proxy that adds nothing', '10.0.0.1', undefined, '10.0.0.1'],
  ['an empty header', '10.0.0.1', '', '10.0.0.1'],
  ['garbage', '10.0.0.1', 'unknown', '10.0.0.1'],
  ['garbage behind an address', '10.0.0.1', '192.0.2.1, _hidden', '10.0.0.1'],
  ['a port', '10.0.0.1', '192.0.2.1:4711', '10.0.0.1'],
  ['a comma too many', '10.0.0.1', '192.0.2.1,', '10.0.0.1'],
  ['an octal address', '10.0.0.1', '0300.0.2.1', '10.0.0.1'],
  ['spaces', '10.0.0.1', '  192.0.2.1  ', '192.0.2.1'],
  ['IPv4 in IPv6 as peer', '::ffff:10.0.0.1', '192.0.2.1', '192.0.2.1'],
  ['IPv4 in IPv6 as peer, in capitals', '::FFFF:10.0.0.1', '192.0.2.1', '192.0.2.1'],
  ['IPv4 in IPv6 as hop', '10.0.0.1', '::ffff:192.0.2.1', '192.0.2.1'],
  ['IPv4 in IPv6 that is no proxy', '::ffff:192.0.2.1', '198.51.100.9', '192.0.2.1'],
  ['an IPv6 proxy', '2001:db8::1', '2001:db8::2', '2001:db8::2'],
  ['an IPv6 proxy of another spelling', '2001:0db8:0::1', '192.0.2.1', '192.0.2.1'],
  ['an IPv6 peer that is none', '2001:db8::2', '192.0.2.1', '2001:db8::2'],
  ['a link-local peer, with its zone, which the audit cannot keep', 'fe80::1%eth0', undefined, 'fe80::1'],
  ['no address at all (a socket that was closed)', undefined, '192.0.2.1', ''],
] as const) {
  test(`source address: ${why}`, () => {
    assert.equal(sourceAddress(from(ip, forwarded), PROXIES), expected);
  });
}

test('without trusted proxies the header is not read', () => {
  assert.equal(sourceAddress(from('10.0.0.1', '192.0.2.1'), undefined), '10.0.0.1');
  assert.equal(sourceAddress(from('::ffff:10.0.0.1', '192.0.2.1'), undefined), '10.0.0.1');
});

test('whatever a peer puts in front of what the proxy adds: its address stays', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme-ascii' }).filter((text) => /^[\x20-\x7e]*$/.test(text)),
      fc.ipV4(),
      (spoofed, peer) => {
        fc.pre(!peer.startsWith('10.'));
        assert.equal(sourceAddress(from('10.0.0.1', `${spoofed}, ${peer}`), PROXIES), peer);
      },
    ),
  );
});

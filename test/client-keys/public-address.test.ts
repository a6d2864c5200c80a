import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPublicAddress } from '../../src/client-keys/public-address.ts';

const INTERNAL = [
  ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.127.255.255', '127.0.0.1', '127.1.2.3', '169.254.169.254'],
  ...[
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '192.0.2.1',
    '192.88.99.1',
    '192.168.0.1',
    '198.18.0.1',
    '198.19.255.255',
    '198.51.100.1',
  ],
  ...['203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
  ...[
    '::',
    '::1',
    '::7f00:1',
    '::ffff:7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '0:0:0:0:0:ffff:a00:1',
    '64:ff9b::7f00:1',
    '64:ff9b::8.8.8.8',
  ],
  ...[
    '64:ff9b:1::1',
    '100::1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    '5f00::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
  ],
  ...['2606:4700::1%lo', 'fec0::1', 'ff02::1', 'ff0e::1'],
];
const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '223.255.255.255',
];
const PUBLIC_V6 = ['2606:4700:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '2003::1'];

for (const address of INTERNAL) test(`${address} is internal`, () => assert.equal(isPublicAddress(address), false));
for (const address of [...PUBLIC, ...PUBLIC_V6]) test(`${address} is public`, () => assert.equal(isPublicAddress(address), true));

test('what is no address is not public', () => {
  for (const text of ['', 'localhost', 'example.com', '8.8.8', '0x7f000001', '2130706433', '010.0.0.1', '8.8.8.8/32', '[2606:4700::1]'])
    assert.equal(isPublicAddress(text), false, text);
});

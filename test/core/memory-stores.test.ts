/** The test doubles of the core pass the contract suites that PostgreSQL passes, so they may stand in for it. */
import { describe } from 'node:test';
import { generateSigningKey, SIGNING_ALGS, type SigningKey } from '../../src/core/signing-key.ts';
import { accessTokenContract } from '../contracts/access-tokens.ts';
import { clientContract } from '../contracts/clients.ts';
import { revocationContract } from '../contracts/revocations.ts';
import { signingKeysContract } from '../contracts/signing-keys.ts';
import type { OpenStores } from '../contracts/stores.ts';
import { memorySigningKeys, memoryStores } from '../support/memory-stores.ts';

const open: OpenStores = async () => {
  const { changes, audits, ...stores } = memoryStores();
  return { ...stores, changes: async () => [...changes], audits: async () => [...audits], close: async () => undefined };
};

describe('in memory', () => {
  accessTokenContract(open);
  clientContract(open);
  revocationContract(open);
  signingKeysContract(async () => {
    const keys = await Promise.all(SIGNING_ALGS.map(generateSigningKey));
    const newestFirst = keys.toReversed() as [SigningKey, ...SigningKey[]];
    return { keys: memorySigningKeys(...newestFirst), close: async () => undefined };
  });
});

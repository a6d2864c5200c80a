/** What every {@link NodeRegistry} must do; run on each adapter. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { NodeRegistry } from '../../src/coherence/ports.ts';

export interface OpenNodes {
  readonly nodes: NodeRegistry;
  /** Lets so much time pass on the store's clock. */
  pass(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function nodeRegistryContract(open: () => Promise<OpenNodes>): void {
  describe('NodeRegistry', () => {
    let scene: OpenNodes;
    const node = (members = {}) => ({ id: randomUUID() as string, appliedSeq: 0, maxStalenessMs: 1_000, ...members });
    before(async () => {
      scene = await open();
    });
    after(() => scene.close());

    test('a node is live from its first renewal on, with what it said last', async () => {
      const one = node({ appliedSeq: 3, maxStalenessMs: 300 });
      await scene.nodes.renew(one, 60_000);
      assert.deepEqual(await scene.nodes.live(), [one]);
      await scene.nodes.renew({ ...one, appliedSeq: 4 }, 60_000);
      assert.deepEqual(await scene.nodes.live(), [{ ...one, appliedSeq: 4 }]);
      await scene.nodes.leave(one.id);
      assert.deepEqual(await scene.nodes.live(), []);
      await scene.nodes.leave(one.id); // again is no error
    });

    test('a lease that has ended is over; another renewal makes the node live again', async () => {
      const [short, long] = [node(), node()];
      await scene.nodes.renew(short, 100);
      await scene.nodes.renew(long, 60_000);
      await scene.pass(150);
      assert.deepEqual(await scene.nodes.live(), [long]);
      await scene.nodes.renew({ ...short, appliedSeq: 9 }, 60_000);
      const ids = (await scene.nodes.live()).map(({ id, appliedSeq }) => [id, appliedSeq]);
      assert.deepEqual(ids.sort(), [[short.id, 9] as const, [long.id, 0] as const].map((row) => [...row]).sort());
      for (const { id } of [short, long]) await scene.nodes.leave(id);
    });
  });
}

/** GET /health/ready: ready is who can look at the change log. Details for an operator, nothing for anybody else; what many ask costs as one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { request } from '../support/client.ts';
import { scrape } from '../support/metrics.ts';
import { freePort, type InProcessServer, openServer } from '../support/server.ts';

let server: InProcessServer;
before(async () => {
  server = await openServer();
});
after(() => server.stop());

test('ready, and how fresh', async () => {
  const { status, body, headers } = await request(`${server.url}/health/ready`);
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ['status', 'fresh', 'freshness_age_ms', 'applied_seq', 'lag', 'etcd']);
  assert.deepEqual([body.status, body.fresh, body.lag, body.etcd], ['ready', true, 0, 'none']);
  assert.ok(Number.isInteger(body.freshness_age_ms) && body.freshness_age_ms >= 0 && body.freshness_age_ms < 1_000, body.freshness_age_ms);
  assert.ok(Number.isInteger(body.applied_seq) && body.applied_seq > 0);
  assert.equal(headers.get('cache-control'), 'no-store');
});

test('without etcd a node is as ready as with it', async (t) => {
  const alone = await openServer({ ETCD_ENDPOINTS: `127.0.0.1:${await freePort()}` });
  t.after(() => alone.stop());
  const { status, body } = await request(`${alone.url}/health/ready`);
  assert.equal(status, 200);
  assert.match(body.etcd, /^(connecting|unreachable)$/);
  assert.ok(!('etcd_version_ok' in body));
});

test('a storm of health checks costs forty looks at the change log a second at most, not one each', async () => {
  const looks = async () => (await scrape(server.url)).values.get('auth_freshness_probes_total{outcome="done"}') ?? 0;
  const earlier = await looks();
  const since = performance.now();
  const answers = await Promise.all(Array.from({ length: 300 }, () => request(`${server.url}/health/ready`)));
  assert.ok(answers.every(({ status }) => status === 200));
  const cost = (await looks()) - earlier;
  assert.ok(cost <= (performance.now() - since) / 20 + 2, `${cost}`);
});

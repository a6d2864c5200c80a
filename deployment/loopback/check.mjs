// --check: a token of one server is good on all others, and after its revocation on none.
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from './processes.mjs';

/**
 * @param {{ servers: { name: string, url: string }[], balancer?: { name: string, url: string, tls: object }, admin: { id: string, secret: string }, maxStalenessMs: number }} cluster
 * @returns {Promise<boolean>} whether all was as it should be; each step is printed
 */
export async function check({ servers, balancer, admin, maxStalenessMs }) {
  const authorization = `Basic ${Buffer.from(`${admin.id}:${admin.secret}`).toString('base64')}`;
  let passed = true;
  const report = (what, good, seen) => {
    passed &&= good;
    console.log(`  ${good ? 'ok    ' : 'FAILED'} ${what}${good ? '' : `: ${seen}`}`);
  };
  const post = ({ url, tls }, path, form, headers = {}) =>
    request(`${url}${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(form).toString(),
      tls,
    });
  const introspect = async (server, token, headers) => {
    const { status, body } = await post(server, '/introspect', { token }, headers);
    return status === 200 ? String(JSON.parse(body).active) : `status ${status}`;
  };
  const [first] = servers;
  // The only one is asked itself; where there are several, those that did not issue the token.
  const others = servers.length > 1 ? servers.slice(1) : servers;

  const issued = await post(first, '/token', { grant_type: 'client_credentials' });
  report(`${first.name} issues a token`, issued.status === 200, `${issued.status} ${issued.body}`);
  if (issued.status !== 200) return false;
  const { access_token: token } = JSON.parse(issued.body);
  for (const server of others) {
    const active = await introspect(server, token);
    report(`${server.name} says active`, active === 'true', active);
  }
  if (balancer) {
    const active = await introspect(balancer, token);
    report(`${balancer.name} says active, over TLS`, active === 'true', active);
    const health = await request(`${balancer.url}/health/ready`, { tls: balancer.tls });
    report(`${balancer.name} shows no /health`, health.status === 404, health.status);
    const metrics = await request(`${balancer.url}/metrics`, { tls: balancer.tls });
    report(`${balancer.name} shows no /metrics`, metrics.status === 404, metrics.status);
  }

  const revoked = await post(first, '/revoke', { token });
  const revokedAt = performance.now();
  report(`${first.name} revokes it`, revoked.status === 200, `${revoked.status} ${revoked.body}`);
  for (const server of others) {
    const active = await introspect(server, token, { prefer: 'consistency=strict' });
    report(`${server.name} says inactive at once, asked strictly`, active === 'false', active);
  }
  await sleep(Math.max(0, maxStalenessMs - (performance.now() - revokedAt)));
  for (const server of servers) {
    const active = await introspect(server, token);
    report(`${server.name} says inactive after ${maxStalenessMs} ms`, active === 'false', active);
  }
  return passed;
}

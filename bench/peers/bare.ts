/** The floor: `node:http` alone, with the least work that an answer takes. It keeps nothing and checks no token. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { peerOptions, SCOPE, sayListening, TOKEN_TTL_SECONDS } from './peer.ts';

const { port, clientId, clientSecret } = peerOptions();
const issuer = `http://localhost:${port}`;

createServer(async (request, response) => {
  const form = await readForm(request);
  const isKnown = decodeBasic(request.headers.authorization) === `${clientId}:${clientSecret}`;
  const body = !isKnown ? { error: 'invalid_client' } : request.url === '/introspect' ? introspect(form.get('token') ?? '') : issue();
  const text = JSON.stringify(body);
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(text) };
  response.writeHead(isKnown ? 200 : 401, headers).end(text);
}).listen(port, '127.0.0.1', sayListening);

function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => resolve(new URLSearchParams(text)));
    request.on('error', reject);
  });
}

function decodeBasic(authorization = ''): string {
  return Buffer.from(authorization.slice('Basic '.length), 'base64').toString();
}

/** Members and size of auth's answer; the hash, which would be the key of a look-up, is not even used as one. */
function introspect(token: string): object {
  createHash('sha256').update(token).digest('base64url');
  const now = Math.floor(Date.now() / 1000);
  return {
    active: true,
    token_type: 'Bearer',
    iss: issuer,
    sub: clientId,
    aud: issuer,
    client_id: clientId,
    exp: now + TOKEN_TTL_SECONDS,
    iat: now,
    jti: randomUUID(),
    scope: SCOPE,
  };
}

function issue(): object {
  const token = `at_${randomBytes(32).toString('base64url')}000000`;
  createHash('sha256').update(token).digest('base64url');
  return { access_token: token, token_type: 'Bearer', expires_in: TOKEN_TTL_SECONDS, scope: SCOPE };
}

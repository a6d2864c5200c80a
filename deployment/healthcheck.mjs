// HEALTHCHECK of the image: 0 if this container's own server answers /health/live. The image has no curl.
import http from 'node:http';
import https from 'node:https';

const { AUTH_HOST = '0.0.0.0', AUTH_PORT = '', AUTH_TLS_CERT, AUTH_TLS_CERT_FILE } = process.env;
const host = AUTH_HOST === '0.0.0.0' || AUTH_HOST === '::' || AUTH_HOST === '' ? '127.0.0.1' : AUTH_HOST;
// Kubernetes sets AUTH_PORT=tcp://… for a Service called `auth`; the server ignores that too.
const port = /^\d+$/.test(AUTH_PORT) ? Number(AUTH_PORT) : 8080;
// The certificate is for the public name, and the way is inside this container.
const options = { host, port, path: '/health/live', timeout: 2_000, rejectUnauthorized: false };
const { get } = AUTH_TLS_CERT || AUTH_TLS_CERT_FILE ? https : http;
get(options, ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1))
  .on('timeout', () => process.exit(1))
  .on('error', () => process.exit(1));

// A compose file as a list of processes on loopback: pure, but for reading the files.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseEnv } from 'node:util';
import { parse } from 'yaml';

/** Whom an image belongs to; what is not in here has no process without containers. */
const ROLES = [
  [/(^|\/)auth:/, 'server'],
  [/(^|\/)etcd:/, 'etcd'],
  [/(^|\/)postgres:/, 'postgres'],
  [/(^|\/)haproxy:/, 'loadbalancer'],
];

/**
 * @param {string} file a compose file
 * @param {Record<string, string | undefined>} values for `${NAME}` in it
 * @returns {{ services: { name: string, role: string, environment: Record<string, string>, command: string[], ports: number[] }[], secrets: Record<string, string> }}
 *   ports: those of the container; secrets: the file name of each
 */
export function readTopology(file, values) {
  const compose = parse(interpolate(readFileSync(file, 'utf8'), values), { merge: true });
  const services = Object.entries(compose.services).map(([name, service]) => {
    const role = ROLES.find(([pattern]) => pattern.test(service.image))?.[1];
    if (role === undefined) throw new Error(`${file}: no program is known for the image ${service.image}`);
    const environment = Object.fromEntries(Object.entries(service.environment ?? {}).map(([key, value]) => [key, String(value)]));
    return { name, role, environment, command: service.command ?? [], ports: containerPorts(role) };
  });
  const secrets = Object.fromEntries(Object.entries(compose.secrets ?? {}).map(([name, secret]) => [name, basename(secret.file)]));
  return { services, secrets };
}

/** Names that the compose file does not start without: `${NAME:?…}`. */
export function requiredNames(file) {
  return new Set([...readFileSync(file, 'utf8').matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name));
}

/** The values of an example that are not empty, so that the defaults of the compose file count elsewhere. */
export function exampleValues(file) {
  return Object.fromEntries(Object.entries(parseEnv(readFileSync(file, 'utf8'))).filter(([, value]) => value !== ''));
}

/** The forms of compose that are used here: `$$`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}`. Empty counts as not set. */
function interpolate(text, values) {
  return text.replace(/\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}/g, (whole, name, operator, rest) => {
    if (whole === '$$') return '$';
    if (values[name]) return values[name];
    if (operator === '?') throw new Error(`${name} is not set: ${rest}`);
    return rest ?? '';
  });
}

function containerPorts(role) {
  return { server: [8080], etcd: [2379, 2380], postgres: [], loadbalancer: [8443] }[role];
}

/**
 * Rewrites what a container sees into what a process on loopback sees: `//etcd1:2379` and `//0.0.0.0:2379` become the member's own port,
 * `/run/secrets/name` the file.
 *
 * @param {{ self: string, portOf: (service: string, port: number) => number | undefined, secretsFolder: string, secrets: Record<string, string> }} place
 */
export function toLoopback(text, { self, portOf, secretsFolder, secrets }) {
  return text
    .replace(/\/\/([\w.-]+):(\d+)/g, (whole, host, port) => {
      const mapped = portOf(host === '0.0.0.0' ? self : host, Number(port));
      return mapped === undefined ? whole : `//127.0.0.1:${mapped}`;
    })
    .replace(/\/run\/secrets\/(\w+)/g, (_, name) => `${secretsFolder}/${secrets[name] ?? name}`);
}

/** The load balancer's configuration with this machine's addresses. Names are not resolved, so there is no resolver. */
export function haproxyOnLoopback(text, place) {
  return toLoopback(text, place)
    .replace(/^resolvers docker\n(?: .*\n)*/m, '')
    .replace(/ resolvers docker init-addr libc,none/, '')
    .replace(/bind :(\d+)/, (_, port) => `bind 127.0.0.1:${place.portOf(place.self, Number(port))}`)
    .replace(/^( +server (\S+)) \S+:(\d+)/gm, (_, start, name, port) => `${start} 127.0.0.1:${place.portOf(name, Number(port))}`);
}

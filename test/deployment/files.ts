/** The files of deployment/, read as their programs read them. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number | boolean>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly secrets?: readonly string[];
  readonly networks?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly restart?: string;
  readonly read_only?: boolean;
  readonly deploy?: { readonly resources?: { readonly limits?: Readonly<Record<string, string>> } };
}

export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
  readonly secrets?: Readonly<Record<string, { readonly file: string }>>;
  readonly configs?: Readonly<Record<string, { readonly file: string }>>;
}

/** Each compose file with its example of values. */
export const ENVIRONMENTS: readonly (readonly [file: string, example: string])[] = [
  ['deployment/docker-compose.yml', 'deployment/stage.env.example'],
  ['deployment/docker-compose.test.yml', 'deployment/test.env.example'],
  ['deployment/docker-compose.prod.yml', 'deployment/prod.env.example'],
];

/** `${NAME:-default}` becomes its default, and what has none stays as it is: both are valid texts. */
export function readCompose(file: string): Compose {
  return parse(readFileSync(file, 'utf8').replace(/\$\{\w+:-([^}]*)\}/g, '$1'), { merge: true });
}

export function servicesOf(compose: Compose, image: RegExp): readonly (readonly [name: string, service: Service])[] {
  return Object.entries(compose.services).filter(([, service]) => image.test(service.image));
}

/** `FROM`, `COPY` …: instructions of a Dockerfile, continued lines joined. */
export function readDockerfile(file: string): readonly { readonly name: string; readonly rest: string }[] {
  return readFileSync(file, 'utf8')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => ({ name: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1).trim() }));
}

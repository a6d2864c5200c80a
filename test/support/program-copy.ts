/** The compiled program beside migrations of the test's own: what it would do in a checkout that has others. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface ProgramCopy {
  /** its src/postgres/migrate.ts */
  readonly module: typeof import('../../src/postgres/migrate.ts');
  /** Writes, or replaces, or with `undefined` removes a file of its migrations folder. */
  write(name: string, sql: string | undefined): Promise<void>;
  removeMigrations(): Promise<void>;
  remove(): Promise<void>;
}

/** @param migrations `real`: begins with those of the checkout */
export async function copyProgram(migrations: 'real' | 'none'): Promise<ProgramCopy> {
  const root = await mkdtemp(join(tmpdir(), 'auth-program-'));
  const folder = join(root, 'migrations');
  await mkdir(folder);
  for (const part of ['core', 'postgres']) await cp(join(ROOT, 'dist/src', part), join(root, 'dist/src', part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  await writeFile(join(root, 'package.json'), '{"type":"module"}');
  if (migrations === 'real') {
    for (const name of await readdir(join(ROOT, 'migrations')))
      await writeFile(join(folder, name), await readFile(join(ROOT, 'migrations', name)));
  }
  return {
    module: await import(join(root, 'dist/src/postgres/migrate.js')),
    write: (name, sql) => (sql === undefined ? rm(join(folder, name)) : writeFile(join(folder, name), sql)),
    removeMigrations: () => rm(folder, { recursive: true }),
    remove: () => rm(root, { recursive: true }),
  };
}

/** One bash for all commands of a page: variables and functions carry over, and what fails ends it. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface Commands {
  readonly text: string;
  /** of its first line in the page */
  readonly line: number;
}

export interface Outcome {
  /** standard output and standard error, as a terminal shows them */
  readonly output: string;
  readonly failure: string | undefined;
}

export interface ShellOptions {
  readonly directory: string;
  /** for what is not to be seen in {@link directory} */
  readonly scratch: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly blockMsMax: number;
}

/**
 * A command fails if its status is not 0, in a pipe too, and if it uses a variable that is not set. Some are meant: 28 is
 * `curl --max-time` and 124 `timeout` that ended what would go on for ever; 23 is curl's and 141 others' when `head` has read enough. A block that
 * looks at `$?` shows a failure.
 *
 * @returns one for each block that was begun; what comes after a failure is not
 */
export async function runInOneShell(blocks: readonly Commands[], options: ShellOptions): Promise<readonly Outcome[]> {
  const file = (index: number, kind: 'commands' | 'output') => join(options.scratch, `${index}.${kind}`);
  // The last command may be one that is not 0 and no failure, such as `! true`; the source that ends with it would be.
  await Promise.all(blocks.map(({ text }, index) => writeFile(file(index, 'commands'), `${text}\n:\n`)));
  const script = join(options.scratch, 'all');
  const calls = blocks.map(({ text }, index) => {
    const trap = /\$\?/.test(text) ? 'trap - ERR' : "trap 'check $? $LINENO' ERR";
    return `echo begin >&3; ${trap}; source '${file(index, 'commands')}' >'${file(index, 'output')}' 2>&1 </dev/null; trap - ERR; echo done >&3`;
  });
  await writeFile(script, [PREPARE, ...calls].join('\n'));
  const { begun, failure } = await follow(script, blocks, options);
  const outputs = await Promise.all(blocks.slice(0, begun).map((_, index) => readFile(file(index, 'output'), 'utf8').catch(() => '')));
  return outputs.map((output, index) => ({ output, failure: index === begun - 1 ? failure : undefined }));
}

const PREPARE = `exec 3>&1
set -u -o pipefail
check() { case $1 in 23 | 28 | 124 | 141) ;; *) echo "failed $1 $2" >&3; exit 1 ;; esac; }`;

async function follow(
  script: string,
  blocks: readonly Commands[],
  { directory, environment, blockMsMax }: ShellOptions,
): Promise<{ readonly begun: number; readonly failure: string | undefined }> {
  // A group of its own, so that what a page leaves running in the background ends with it.
  const shell = spawn('bash', ['--noprofile', '--norc', script], {
    cwd: directory,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const endAll = () => {
    try {
      if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL');
    } catch {}
  };
  let begun = 0;
  let failure: string | undefined;
  let isOpen = false;
  let timer: NodeJS.Timeout | undefined;
  const closed = new Promise<void>((resolve, reject) => shell.once('error', reject).once('close', () => resolve()));
  shell.once('exit', endAll);
  for await (const line of createInterface({ input: shell.stdout })) {
    const [event, status, at] = line.split(' ');
    clearTimeout(timer);
    isOpen = event === 'begin';
    if (event === 'failed') {
      const lineOfPage = (blocks[begun - 1]?.line ?? 0) + Number(at) - 1;
      failure = `line ${lineOfPage}: the command ended with status ${status}`;
    }
    if (event !== 'begin') continue;
    begun++;
    timer = setTimeout(() => {
      failure = `not done within ${blockMsMax} ms`;
      endAll();
    }, blockMsMax);
  }
  clearTimeout(timer);
  await closed;
  // The shell went away in the middle: `exit`, or a variable that is not set.
  if (isOpen) failure ??= 'the shell ended here';
  return { begun, failure };
}

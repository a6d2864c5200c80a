/** What a page of the documentation asks its reader to do, and says that he will see: read from its fences. */

/** One fence with its surroundings. */
export interface Fence {
  readonly language: string;
  readonly text: string;
  /** of its first line of text, from 1 */
  readonly line: number;
  /** of a comment `<!-- not run: … -->` directly before it */
  readonly notRun: string | undefined;
  /** the file that the sentence before it says it is: "`api.mjs`, in a folder of its own:" */
  readonly fileName: string | undefined;
}

/** A block of commands; the files that are to be there before; what the page shows as answers. */
export interface Step {
  readonly commands: Fence;
  readonly files: readonly Fence[];
  readonly answers: readonly Fence[];
}

export interface Page {
  readonly steps: readonly Step[];
  /** all fences with a comment that they are not run */
  readonly notRun: readonly Fence[];
  /** the page, in the same folder, whose commands come first */
  readonly continues: string | undefined;
  /** that the page's reader is taken to have got at the first start */
  readonly adminSecret: string | undefined;
  /** variables that the page says to start the server with */
  readonly serverEnvironment: Readonly<Record<string, string>>;
}

const ANSWERS: ReadonlySet<string> = new Set(['json', 'text', 'http']);
/** They would be run by nobody, because `sh` is what is looked for. */
const OTHER_SHELLS: ReadonlySet<string> = new Set(['bash', 'console', 'shell', 'shell-session', 'zsh']);

/** @throws Error — a fence without an end; commands that are not marked as `sh`; a comment without a reason */
export function readPage(markdown: string): Page {
  const fences = readFences(markdown);
  const prose = markdown.replaceAll('\n', ' ');
  const start = /[Ss]tart (?:a|the) server with `((?:\w+=\S+ )+)npm start`/.exec(prose)?.[1] ?? '';
  return {
    steps: toSteps(fences),
    notRun: fences.filter(({ notRun }) => notRun !== undefined),
    continues: /(?:continue those|use the shell) of \[[^\]]+\]\(([\w-]+\.md)\)/.exec(prose)?.[1],
    adminSecret: /^ADMIN_SECRET='([^']+)'$/m.exec(markdown)?.[1],
    serverEnvironment: Object.fromEntries(Array.from(start.matchAll(/(\w+)=(\S+)/g), ([, name = '', value = '']) => [name, value])),
  };
}

function readFences(markdown: string): readonly Fence[] {
  const lines = markdown.split('\n');
  const fences: Fence[] = [];
  for (let index = 0; index < lines.length; index++) {
    const [, indent = '', ticks, language = ''] = /^( *)(`{3,})([\w-]*)/.exec(lines[index] ?? '') ?? [];
    if (ticks === undefined) continue;
    const end = lines.findIndex((line, at) => at > index && line.trim() === ticks);
    if (end < 0) throw new Error(`line ${index + 1}: a fence without an end`);
    if (OTHER_SHELLS.has(language)) throw new Error(`line ${index + 1}: write \`\`\`sh, so that it is run`);
    const text = lines.slice(index + 1, end).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    fences.push({ language, text: text.join('\n'), line: index + 2, ...readBefore(lines, index) });
    index = end;
  }
  return fences;
}

/** The comment in the line before, and the sentence before that. */
function readBefore(lines: readonly string[], fence: number): Pick<Fence, 'notRun' | 'fileName'> {
  const comment = /^ *<!-- *not run:? *(.*?) *-->$/.exec(lines[fence - 1] ?? '');
  if (comment?.[1] === '') throw new Error(`line ${fence}: why is it not run?`);
  const sentence = lines.slice(0, fence).findLast((line) => line.trim() !== '') ?? '';
  return { notRun: comment?.[1], fileName: /^`([\w-]+\.\w+)`.*:$/.exec(sentence)?.[1] };
}

function toSteps(fences: readonly Fence[]): readonly Step[] {
  const steps: { commands: Fence; files: Fence[]; answers: Fence[] }[] = [];
  let files: Fence[] = [];
  for (const fence of fences) {
    if (fence.language === 'sh') {
      steps.push({ commands: fence, files, answers: [] });
      files = [];
    } else if (fence.fileName !== undefined) files.push(fence);
    else if (ANSWERS.has(fence.language) && fence.notRun === undefined) steps.at(-1)?.answers.push(fence);
  }
  return steps;
}

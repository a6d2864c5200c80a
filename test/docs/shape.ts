/** Whether what was printed has the shape of what the page shows: all of it the same, but what is another one each time. */

export interface Answer {
  readonly language: string;
  readonly text: string;
}

/** @param answers all that the page shows of one block of commands, in order @returns one line for each difference; none: the page is right */
export function differences(answers: readonly Answer[], output: string): readonly string[] {
  const found: string[] = [];
  let rest = output;
  for (const [index, answer] of answers.entries()) {
    const isLast = index === answers.length - 1;
    try {
      const { differences, after } = compare(answer, rest, isLast);
      found.push(...differences);
      rest = after;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return [...found, error.message];
    }
  }
  return found;
}

interface Comparison {
  readonly differences: readonly string[];
  /** what the next answer is compared with */
  readonly after: string;
}

function compare({ language, text }: Answer, output: string, isLast: boolean): Comparison {
  if (language === 'http') return { differences: compareHttp(text, output), after: '' };
  if (language === 'text') {
    const [shown, printed] = [toLines(text), toLines(output)];
    const count = isLast ? printed.length : shown.length;
    return { differences: compareLines(shown, printed.slice(0, count)), after: printed.slice(count).join('\n') };
  }
  const shown = readValues(text, Number.POSITIVE_INFINITY, 'the page');
  const printed = readValues(output, isLast ? Number.POSITIVE_INFINITY : shown.values.length, 'the answer');
  const found = shown.values.flatMap((value, index) =>
    index < printed.values.length
      ? compareValues(value, printed.values[index], shown.values.length > 1 ? `#${index + 1} ` : '')
      : [`the answer lacks value ${index + 1} of the page`],
  );
  const surplus = printed.values.slice(shown.values.length).map((value) => `the page lacks ${JSON.stringify(value)}`);
  return { differences: [...found, ...surplus], after: printed.after };
}

/** Answers have no newline at their end, so the next one follows on the same line; a page shows them apart. */
function toLines(text: string): readonly string[] {
  return text
    .trimEnd()
    .replace(/\}(?=[{"])/g, '}\n')
    .split('\n');
}

/** @param shown in which a line `…` stands for any number of lines */
function compareLines(shown: readonly string[], printed: readonly string[]): readonly string[] {
  const gap = shown.findIndex((line) => line.trim() === '…');
  if (gap >= 0) {
    const end = shown.length - gap - 1;
    return [
      ...compareLines(shown.slice(0, gap), printed.slice(0, gap)),
      ...compareLines(shown.slice(gap + 1), printed.slice(Math.max(gap, printed.length - end))),
    ];
  }
  const found: string[] = [];
  for (let index = 0; index < Math.max(shown.length, printed.length); index++) {
    const [expected, actual] = [shown[index], printed[index]];
    if (expected !== undefined && actual !== undefined && isAlike(expected, actual)) continue;
    if (expected !== undefined) found.push(`page:   ${expected}`);
    if (actual !== undefined) found.push(`answer: ${actual}`);
  }
  return found;
}

/** The status line, and the names of the headers that the page shows; there may be others. Then the body. */
function compareHttp(text: string, output: string): readonly string[] {
  const shown = readHttp(text);
  const printed = readHttp(output);
  const found = compareLines([shown.status], [printed.status]);
  const missing = shown.names.filter((name) => !printed.names.includes(name)).map((name) => `the answer has no header ${name}`);
  if (shown.body === '') return [...found, ...missing];
  const language = /^[{[]/.test(shown.body) ? 'json' : 'text';
  return [...found, ...missing, ...compare({ language, text: shown.body }, printed.body, true).differences];
}

function readHttp(text: string): { readonly status: string; readonly names: readonly string[]; readonly body: string } {
  const [head = '', ...body] = text.replaceAll('\r', '').split('\n\n');
  const [status = '', ...headers] = head.trim().split('\n');
  return {
    status: status.trim(),
    names: headers.map((header) => header.split(':')[0]?.toLowerCase() ?? ''),
    body: body.join('\n\n').trim(),
  };
}

/** Names of members whose numbers and texts say nothing to the reader. */
const VARYING = /^(id|tokens|applied_seq|freshness_age_ms|(.*_)?cursor)$/;
/** Seconds since 1970, and only they, are as large as that. */
const EPOCH_MIN = 1_000_000_000;

function compareValues(shown: unknown, printed: unknown, path: string): readonly string[] {
  const name = path.split('/').at(-1) ?? '';
  if (kind(shown) !== kind(printed)) return [`${path}: page ${JSON.stringify(shown)}, answer ${JSON.stringify(printed)}`];
  if (Array.isArray(shown) && Array.isArray(printed)) {
    const count = shown.length === printed.length ? [] : [`${path}: ${shown.length} items on the page, ${printed.length} in the answer`];
    return [...count, ...shown.slice(0, printed.length).flatMap((item, index) => compareValues(item, printed[index], `${path}/${index}`))];
  }
  if (kind(shown) === 'object') return compareMembers(shown as object, printed as object, path);
  const isSame =
    VARYING.test(name) ||
    (typeof shown === 'string' && isAlike(shown, String(printed))) ||
    (typeof shown === 'number' && shown >= EPOCH_MIN && Number(printed) >= EPOCH_MIN) ||
    shown === printed;
  return isSame ? [] : [`${path}: page ${JSON.stringify(shown)}, answer ${JSON.stringify(printed)}`];
}

function compareMembers(shown: object, printed: object, path: string): readonly string[] {
  const expected = new Map<string, unknown>(Object.entries(shown));
  const actual = new Map<string, unknown>(Object.entries(printed));
  return [
    ...[...expected].flatMap(([name, value]) =>
      actual.has(name) ? compareValues(value, actual.get(name), `${path}/${name}`) : [`${path}/${name} is on the page only`],
    ),
    ...[...actual.keys()].filter((name) => !expected.has(name)).map((name) => `${path}/${name} is in the answer only`),
  ];
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

/** What differs each time, the most telling first: an id has digits that could be taken for something else. */
const VARIABLE_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '‹uuid›'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)?/g, '‹time›'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '‹jwt›'],
  [/\b[a-z]{2,3}_[\w-]{49}(?![\w-])/g, '‹token›'],
  [/(?<![\w-])[\w-]{43}(?![\w-])/g, '‹hash›'],
  [/\b\d+-[0-9a-f]{8}\b/g, '‹cursor›'],
  [/\b\d{10}\b/g, '‹seconds›'],
  [/\b\d+ ms\b/g, '‹n› ms'],
  [/\s+/g, ' '],
];

/** @param shown in which `…` stands for anything, together with what of a word is left beside it */
function isAlike(shown: string, printed: string): boolean {
  const parts = general(shown).split(/[\w-]*…[\w-]*/);
  const pattern = parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`, 's').test(general(printed));
}

function general(text: string): string {
  return VARIABLE_TEXTS.reduce((changed, [pattern, name]) => changed.replace(pattern, name), text.trim());
}

/** The first `count` JSON values of a text that has nothing else, as `curl` prints them one after the other. @throws SyntaxError */
function readValues(text: string, count: number, whose: string): { readonly values: readonly unknown[]; readonly after: string } {
  const values: unknown[] = [];
  let at = 0;
  while (values.length < count) {
    at += /^\s*/.exec(text.slice(at))?.[0].length ?? 0;
    if (at >= text.length) break;
    const end = endOfValue(text, at);
    try {
      values.push(JSON.parse(text.slice(at, end)));
    } catch {
      throw new SyntaxError(`${whose} has here what is no JSON: ${text.slice(at, at + 200)}`);
    }
    at = end;
  }
  return { values, after: text.slice(at).replace(/^\s*\n/, '') };
}

function endOfValue(text: string, start: number): number {
  const tokens = /"(?:[^"\\]|\\.)*"|[{[]|[}\]]|[^\s"{}[\],:]+|./gs;
  tokens.lastIndex = start;
  let depth = 0;
  for (let token = tokens.exec(text); token !== null; token = tokens.exec(text)) {
    if (/^[{[]$/.test(token[0])) depth++;
    if (/^[}\]]$/.test(token[0])) depth--;
    if (depth <= 0) return tokens.lastIndex;
  }
  return text.length;
}

/** What counts as a difference between a page and the answer, and what does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, differences } from './shape.ts';

const UUIDS = ['1f2b589e-2886-4d4b-9a90-6a65801e2f01', 'd9e0d3c1-6f0c-4a8c-9a0f-3c41b9f1f3a6'] as const;
const TIMES = ['2026-11-24T09:08:10.297Z', '2031-02-01T00:00:00Z'] as const;
const SECRETS = ['tDFkFdT3xOdrKgAuWSJx4Pkysj9iRQqD8TevXCtYWaA', '-JUvGx5yq1U3v1cS1n3C7r5b7cXH0l5S8Ykq4bQkMs_'] as const;
const TOKENS = ['at_LwtFeEETYjXeIsB1XQv9UdS50A33Y09ZQAU-kmHF0-81DfYYK', 'at_Uqp2pF9v_w-U8P8_WHhFWaI7XX7CBSo7uzszAfG0xPU026sCX'] as const;
const JWTS = ['eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJh.c2ln-_', 'eyJ0eXAiOiJKV1QifQ.eyJpc3MiOiJi.b3RoZXI'] as const;

const json = (...values: unknown[]): Answer => ({
  language: 'json',
  text: values.map((value) => JSON.stringify(value, null, 2)).join('\n'),
});
const text = (...lines: string[]): Answer => ({ language: 'text', text: lines.join('\n') });
const http = (...lines: string[]): Answer => ({ language: 'http', text: lines.join('\n') });

const SAME: [why: string, answers: Answer[], output: string][] = [
  ['members in another order, on one line', [json({ a: 'x', b: [1, { c: null }] })], '{"b":[1,{"c":null}],"a":"x"}'],
  ...[UUIDS, TIMES, SECRETS, TOKENS, JWTS].map(([one, other], index): [string, Answer[], string] => [
    `what is another one each time (${index})`,
    [json({ a: one, b: `x ${one}` })],
    JSON.stringify({ a: other, b: `x ${other}` }),
  ]),
  ['seconds since 1970', [json({ exp: 1_795_514_858 })], '{"exp":1800000000}'],
  ['ids and places of lists', [json({ id: 4, next_cursor: 'NA' })], '{"id":17,"next_cursor":"MTc"}'],
  ['what the page leaves out', [json({ jti: '0f0e…', path: '/tmp/…/data' })], `{"jti":"${UUIDS[0]}","path":"/tmp/x/y/data"}`],
  ['several values without anything between them', [json({}, { active: false }, 204)], '{}{"active":false}\n204\n'],
  ['a bracket and a quote in a text', [json({ a: '}{"' }, 1)], '{"a":"}{\\""}1'],
  [
    'lines with other blanks, times and ids',
    [text('NAME  AT', `a     ${TIMES[0]}  ${UUIDS[0]}`)],
    `NAME AT\na   ${TIMES[1]} ${UUIDS[1]}\n`,
  ],
  ['an answer without a newline before the next', [text('{"a":1}', '"b":[]')], '{"a":1}"b":[]\n'],
  ['lines that the page leaves out', [text('first', '…', 'last')], 'first\n2\n3\nlast\n'],
  ['no line where the page leaves some out', [text('first', '…')], 'first\n'],
  [
    'further headers; their values',
    [http('HTTP/1.1 429 Too Many Requests', 'retry-after: 59')],
    'HTTP/1.1 429 Too Many Requests\r\nDate: x\r\nRetry-After: 3\r\n\r\n{}',
  ],
  ['one answer after the other', [json({ a: 1 }), text('done'), json(7)], '{"a":1}\ndone\n7\n'],
];
for (const [why, answers, output] of SAME) {
  test(`the same: ${why}`, () => assert.deepEqual(differences(answers, output), []));
}

const DIFFERENT: [why: string, answers: Answer[], output: string, found: RegExp[]][] = [
  ['a member that the answer lacks', [json({ a: 1, b: { c: 1 } })], '{"a":1,"b":{}}', [/^\/b\/c is on the page only/]],
  ['a member that the page lacks', [json({ a: 1 })], '{"a":1,"b":2}', [/^\/b is in the answer only/]],
  ['a member of another name', [json({ a: 1 })], '{"A":1}', [/\/a is on the page/, /\/A is in the answer/]],
  ['another type', [json({ a: 1 })], '{"a":"1"}', [/^\/a: page 1, answer "1"/]],
  ['null and nothing', [json({ a: null })], '{"a":{}}', [/^\/a/]],
  ['another word', [json({ error: 'invalid_scope' })], '{"error":"invalid_client"}', [/^\/error/]],
  ['a word, not a token', [json({ access_token: TOKENS[0] })], '{"access_token":"none"}', [/^\/access_token/]],
  ['another small number', [json({ expires_in: 3600 })], '{"expires_in":600}', [/^\/expires_in/]],
  ['another truth', [json({ active: true })], '{"active":false}', [/^\/active/]],
  ['fewer items', [json({ a: [1, 2] })], '{"a":[1]}', [/^\/a: 2 items on the page, 1 in the answer/]],
  ['a value less', [json({}, {})], '{}', [/lacks value 2/]],
  ['a value more', [json({})], '{}{"a":1}', [/the page lacks \{"a":1\}/]],
  ['the second of two', [json({}, { a: 1 })], '{}{"a":2}', [/^#2 \/a/]],
  ['no JSON', [json({})], 'curl: (7) Failed to connect', [/the answer has here what is no JSON: curl/]],
  ['no JSON on the page', [{ language: 'json', text: '{"a":…}' }], '{"a":1}', [/the page has here what is no JSON/]],
  ['a line less', [text('a', 'b')], 'a\n', [/^page: {3}b/]],
  ['a line more', [text('a')], 'a\nb\n', [/^answer: b/]],
  ['another line', [text('a', 'status 200')], 'a\nstatus 503\n', [/^page: {3}status 200/, /^answer: status 503/]],
  ['a line where others are left out', [text('first', '…', 'last')], 'first\n2\n3\n', [/^page: {3}last/, /^answer: 3/]],
  ['no line of several', [text('first', '…', 'last')], 'first\n', [/^page: {3}last/]],
  ['nothing was printed', [text('a')], '', [/^page: {3}a/, /^answer: $/]],
  ['another status', [http('HTTP/1.1 429 Too Many Requests')], 'HTTP/1.1 401 Unauthorized\r\n\r\n', [/429/, /401/]],
  ['a header that is not there', [http('HTTP/1.1 200 OK', 'etag: "1"')], 'HTTP/1.1 200 OK\r\nx: etag\r\n\r\n', [/no header etag/]],
  ['the body', [http('HTTP/1.1 200 OK', '', '{"a":1}')], 'HTTP/1.1 200 OK\r\n\r\n{"a":2}', [/^\/a/]],
  ['what comes after an answer', [json({ a: 1 }), text('done')], '{"a":1}\nfailed\n', [/done/, /failed/]],
];
for (const [why, answers, output, patterns] of DIFFERENT) {
  test(`a difference: ${why}`, () => {
    const found = differences(answers, output);
    assert.equal(found.length, patterns.length, found.join('\n'));
    for (const [index, pattern] of patterns.entries()) assert.match(found[index] ?? '', pattern);
  });
}

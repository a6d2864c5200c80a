/** The pages: whatever stands in the document is text there, and a command can be pasted as it is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { curl } from '../../src/openapi/curl.ts';
import { describeApi } from '../../src/openapi/document.ts';
import { html, prose } from '../../src/openapi/markup.ts';
import { renderPage } from '../../src/openapi/pages.ts';

const HOSTILE = `<script>alert("1")</script>&'`;

test('text becomes no markup, in no place of the document', () => {
  const poison = (value: unknown): unknown => {
    if (typeof value === 'string') return `${value}${HOSTILE}`;
    if (Array.isArray(value)) return value.map(poison);
    if (typeof value !== 'object' || value === null) return value;
    // What is looked up stays as it is.
    return Object.fromEntries(
      Object.entries(value).map(([name, part]) => [
        name,
        /^(\$ref|type|tags|in|name|operationId|required|security)$/.test(name) ? part : poison(part),
      ]),
    );
  };
  const api = describeApi('https://auth.example.com', '1.2.3');
  const page = renderPage({ ...(poison(api) as typeof api), tags: api.tags });
  assert.ok(page.includes('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;'));
  assert.doesNotMatch(page, /<script/i);
  assert.equal(html`<p title="${HOSTILE}">${prose(`a \`${HOSTILE}\``)}</p>`.markup.match(/[<>]/g)?.length, 8);
});

test('the shell reads a command as it was meant, whatever is in it', () => {
  const body = { name: `it's "$HOME" \`id\` \\ \n` };
  const form = (mediaType: string) => ({ required: true, content: { [mediaType]: { schema: {}, examples: { one: { value: body } } } } });
  const words = (command: string) =>
    JSON.parse(execFileSync('sh', ['-c', `${command.replace(/^curl/, '"$0" -e "$1"')}`, process.execPath, SHOW], { encoding: 'utf8' }));
  const SHOW = 'console.log(JSON.stringify(process.argv.slice(1)))';
  const json = curl('PUT', "https://x/it's", { security: [], requestBody: form('application/json') });
  assert.deepEqual(words(json.replace(' -s', ' --')), [
    '-X',
    'PUT',
    "https://x/it's",
    '-H',
    'Content-Type: application/json',
    '-d',
    JSON.stringify(body),
  ]);
  const encoded = curl('POST', 'https://x/token', {
    security: [{ client_secret_basic: [] }],
    requestBody: form('application/x-www-form-urlencoded'),
  });
  assert.ok(encoded.startsWith(`curl -s 'https://x/token' \\\n  -u "$CLIENT_ID:$CLIENT_SECRET"`));
  assert.equal(words(encoded.replace(' -s', ' --')).at(-1), `name=${body.name}`);
  const lines = '{"client_id":"a"}\n{"client_id":"b"}\n';
  const content = { 'application/x-ndjson': { schema: {}, examples: { two: { value: lines } } } };
  const text = curl('POST', 'https://x/clients/import', { security: [], requestBody: { required: true, content } });
  assert.equal(words(text.replace(' -s', ' --')).at(-1), lines);
});

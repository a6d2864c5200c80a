import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BODY_BYTES_MAX, formDecode, parseForm, readForm, readJsonObject } from '../../src/http/body.ts';
import { HttpError } from '../../src/http/errors.ts';

const FORM = 'application/x-www-form-urlencoded';
const FORM_BYTES_MAX = 16 * 1024;

function post(body: string | Uint8Array, contentType: string | null = FORM, path = '/token'): Request {
  // Bytes, so that `Request` makes up no content type.
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  return new Request(`http://localhost${path}`, {
    method: 'POST',
    body: new Uint8Array(bytes),
    headers: contentType === null ? {} : { 'content-type': contentType },
  });
}

const refused = (status: number) => (error: unknown) => error instanceof HttpError && error.status === status;

const text = fc.string({ unit: 'binary' });

test('parseForm reads what URLSearchParams writes (RFC 6749 Appendix B)', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(
        fc.tuple(
          text,
          text.filter((value) => value !== ''),
        ),
        { selector: ([name]) => name },
      ),
      (pairs) => {
        assert.deepEqual([...parseForm(new URLSearchParams(pairs).toString()).params], pairs);
      },
    ),
  );
});

test('formDecode reads what encodeURIComponent and URLSearchParams write', () => {
  fc.assert(
    fc.property(text, (value) => {
      assert.equal(formDecode(encodeURIComponent(value)), value);
      assert.equal(formDecode(new URLSearchParams([['', value]]).toString().slice(1)), value);
    }),
  );
});

test('parseForm throws nothing but an HttpError 400, whatever it reads', () => {
  const nearlyForm = fc.array(fc.oneof(fc.constantFrom('%', '&', '=', '+', '%f', '%ff', '%C3%A9', 'a', '\ud800', '\0', 'é'), text));
  fc.assert(
    fc.property(
      fc.oneof(
        text,
        fc.string({ unit: 'binary' }),
        nearlyForm.map((parts) => parts.join('')),
      ),
      (junk) => {
        try {
          for (const [name, value] of parseForm(junk).params) assert.ok(value !== '' && typeof name === 'string');
        } catch (error) {
          assert.ok(refused(400)(error), String(error));
        }
      },
    ),
    { numRuns: 1000 },
  );
});

const FORMS: readonly [why: string, form: string, expected: Readonly<Record<string, string>> | 400][] = [
  ['nothing', '', {}],
  ['separators alone', '&&&', {}],
  ['an empty value is absent (RFC 6749 §3.2)', 'scope=&grant_type=x', { grant_type: 'x' }],
  ['a name alone is empty', 'scope', {}],
  ['plus is a space, %2B a plus', 'a=1+2%2B3+4', { a: '1 2+3 4' }],
  ['a value may have =', 'a=b=c', { a: 'b=c' }],
  ['an escaped name', '%61=1', { a: '1' }],
  ['UTF-8', 'a=%C3%A9', { a: 'é' }],
  ['names of Object.prototype', '__proto__=x&constructor=y', { ['__proto__']: 'x', constructor: 'y' }],
  ['repeated', 'a=1&a=1', 400],
  ['repeated, the first one empty', 'scope=&scope=admin', 400],
  ['repeated, the second one empty', 'scope=admin&scope=', 400],
  ['repeated by another spelling', 'a=1&%61=2', 400],
  ['repeatable (RFC 8707 §2): the first one counts', 'resource=a&resource=b', { resource: 'a' }],
  ['broken escape', 'a=%', 400],
  ['broken escape of a name', '%zz=1', 400],
  ['not UTF-8', 'a=%FF', 400],
  ['overlong UTF-8', 'a=%C0%AF', 400],
  ['a surrogate in UTF-8', 'a=%ED%A0%80', 400],
];
for (const [why, form, expected] of FORMS) {
  test(`form: ${why}${expected === 400 ? ' is refused' : ''}`, () => {
    if (expected === 400) assert.throws(() => parseForm(form), refused(400));
    else assert.deepEqual([...parseForm(form).params], Object.entries(expected));
  });
}

test('form: all values of resource, in their order, but for empty ones (RFC 8707 §2)', () => {
  assert.deepEqual(parseForm('resource=b&x=1&resource=a&resource=&%72esource=b').resources, ['b', 'a', 'b']);
  assert.deepEqual(parseForm('audience=a&audience=b').resources, []);
});

const KIB = 1024;
const FORM_REQUESTS: readonly [why: string, request: () => Request, expected: 'ok' | 400 | 413][] = [
  ['a form', () => post('a=1'), 'ok'],
  ['charset and another case', () => post('a=1', 'Application/X-WWW-Form-Urlencoded; charset=utf-8'), 'ok'],
  ['no content type', () => post('a=1', null), 400],
  ['JSON', () => post('{}', 'application/json'), 400],
  ['a content type that begins alike', () => post('a=1', `${FORM}x`), 400],
  ['multipart', () => post('a=1', 'multipart/form-data; boundary=x'), 400],
  ['16 KiB', () => post(`a=${'x'.repeat(FORM_BYTES_MAX - 2)}`), 'ok'],
  ['16 KiB and one', () => post(`a=${'x'.repeat(FORM_BYTES_MAX - 1)}`), 413],
  ['bytes that are not UTF-8', () => post(Uint8Array.of(0x61, 0x3d, 0xff)), 400],
  ['a secret in the query (RFC 6749 §2.3.1)', () => post('a=1', FORM, '/token?client_secret=x'), 400],
  ['a parameter in the query', () => post('a=1', FORM, '/token?x=1&scope=x'), 400],
  ['a parameter without a value in the query', () => post('a=1', FORM, '/token?token'), 400],
  ['a parameter of another spelling in the query', () => post('a=1', FORM, '/token?%74oken=x'), 400],
  ['a resource in the query (RFC 8707 §2)', () => post('a=1', FORM, '/token?resource=https://api.example.com'), 400],
  ['something else in the query', () => post('a=1', FORM, '/token?tenant=1'), 'ok'],
];
for (const [why, request, expected] of FORM_REQUESTS) {
  test(`readForm: ${why} ${expected === 'ok' ? 'is read' : `is ${expected}`}`, async () => {
    if (expected === 'ok') assert.ok((await readForm(request())).params.get('a'));
    else await assert.rejects(readForm(request()), refused(expected));
  });
}

const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const JSONS: readonly [why: string, body: string | Uint8Array, contentType: string | null, expected: 'ok' | 400 | 413 | 415][] = [
  ['an object', '{"a":1}', 'application/json', 'ok'],
  ['with a charset', '{"a":1}', 'application/json; charset=utf-8', 'ok'],
  ['of another accepted type', '{"a":1}', 'application/merge-patch+json', 'ok'],
  ['of no type', '{"a":1}', null, 415],
  ['of another type', '{"a":1}', 'text/plain', 415],
  ['a form', 'a=1', FORM, 415],
  ['empty', '', 'application/json', 400],
  ['broken', '{"a":1', 'application/json', 400],
  ['with a comma too many', '{"a":1,}', 'application/json', 400],
  ['a list', '[]', 'application/json', 400],
  ['null', 'null', 'application/json', 400],
  ['a text', '"a"', 'application/json', 400],
  ['a number', '1', 'application/json', 400],
  ['__proto__', '{"a":1,"__proto__":{"disabled":true}}', 'application/json', 400],
  ['__proto__ further in', '{"a":{"b":[{"__proto__":1}]}}', 'application/json', 400],
  ['__proto__ escaped', '{"a":1,"\\u005f_proto__":1}', 'application/json', 400],
  ['NUL', '{"a":"\\u0000"}', 'application/json', 400],
  ['NUL in a name', '{"a\\u0000":1}', 'application/json', 400],
  ['a lone surrogate', '{"a":"\\ud800"}', 'application/json', 400],
  ['a pair of surrogates', '{"a":"\\ud83d\\ude00"}', 'application/json', 'ok'],
  ['an infinite number', '{"a":1e999}', 'application/json', 400],
  ['an infinite number further in', '{"a":[[-1e999]]}', 'application/json', 400],
  ['a control character in a text', '{"a":"\n"}', 'application/json', 400],
  ['not UTF-8', Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d), 'application/json', 400],
  ['31 deep', nested(31), 'application/json', 'ok'],
  ['32 deep', nested(32), 'application/json', 400],
  ['very deep', nested(10_000), 'application/json', 400],
  ['lists, very deep', `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, 'application/json', 400],
  ['64 KiB', `{"a":"${'x'.repeat(64 * KIB - 8)}"}`, 'application/json', 'ok'],
  ['64 KiB and one', `{"a":"${'x'.repeat(64 * KIB - 7)}"}`, 'application/json', 413],
];
for (const [why, body, contentType, expected] of JSONS) {
  test(`JSON: ${why} ${expected === 'ok' ? 'is read' : `is ${expected}`}`, async () => {
    const read = readJsonObject(post(body, contentType), 'application/json', 'application/merge-patch+json');
    if (expected === 'ok') assert.ok((await read).a);
    else await assert.rejects(read, refused(expected));
  });
}

test('a body that says it is too large is not read', async () => {
  const request = post('a=1');
  request.headers.set('content-length', String(BODY_BYTES_MAX + 1));
  await assert.rejects(readForm(request), refused(413));
  assert.equal(request.bodyUsed, false);
});

/** As srvx answers: the listener's limit, and a sender that went away. */
function unreadable(error: Error): Request {
  const request = post('{}', 'application/json');
  Object.defineProperty(request, 'text', { value: () => Promise.reject(error) });
  return request;
}

test('a sender that went away is refused', async () => {
  await assert.rejects(readJsonObject(unreadable(new Error('aborted')), 'application/json'), refused(400));
});

test('a body without a length that passes the listener’s limit is 413', async () => {
  const error = Object.assign(new Error('too large'), { statusCode: 413 });
  await assert.rejects(readJsonObject(unreadable(error), 'application/json'), refused(413));
});

// Reported: 16 KiB are counted in UTF-16 units, so a form without a content-length may have three times as many bytes.
test('the limit of a form counts bytes', async () => {
  const bytes = new TextEncoder().encode(`a=${'€'.repeat(FORM_BYTES_MAX / 2)}`);
  await assert.rejects(readForm(post(bytes)), refused(413));
});

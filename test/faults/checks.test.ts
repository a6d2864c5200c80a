/** The checker of the checkers: each planted violation is caught, by its rule, and what was promised to nobody is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, longestStaleness } from './checks.ts';
import { ANY_ERRORS, type Budget, errorsOf, NO_ERRORS, type Operation, readHistory, writeHistory } from './operations.ts';

type Planned = Partial<Operation> & Pick<Operation, 'kind' | 'at'>;

const claims = '{"client_id":"c"}';
const operation = (planned: Planned): Operation => ({
  node: 0,
  consistency: 'bounded',
  end: planned.at + 5,
  outcome: 'done',
  status: 200,
  client: 'c',
  ...planned,
});
const issue = (more: Partial<Operation> = {}) => operation({ kind: 'issue', at: 0, token: 't', secret: 's', ...more });
const revoke = (more: Partial<Operation> = {}) => operation({ kind: 'revoke', at: 100, token: 't', ...more });
const wide = (kind: Operation['kind'], at: number, more: Partial<Operation> = {}) => operation({ kind, at, ...more });
const ask = (at: number, active: boolean, more: Partial<Operation> = {}) =>
  operation({ kind: 'introspect', at, token: 't', active, ...(active && { claims }), ...more });
const window = (what: string, budget: Budget) => [{ what, from: 0, mended: 900, to: 1_000, budget }];

const rulesOf = (operations: readonly Operation[], windows = window('any fault', ANY_ERRORS)) =>
  check({ maxStalenessMs: 1_000, operations, windows }).map(({ rule }) => rule);

const PLANTED: readonly [what: string, rules: readonly string[], operations: readonly Operation[]][] = [
  ['active at another node after the bound', ['K1'], [issue(), revoke(), ask(1_116, true, { node: 1 })]],
  ['active at the node that was asked to revoke', ['K1'], [issue(), revoke(), ask(106, true)]],
  ['active at a node in strict mode', ['K1'], [issue(), revoke(), ask(106, true, { node: 1, consistency: 'strict' })]],
  ['active for who asks strictly', ['K1'], [issue(), revoke(), ask(106, true, { node: 1, consistency: 'preferred' })]],
  [
    'the second revocation is answered early',
    ['K1'],
    [issue(), revoke({ end: 900 }), revoke({ node: 1, at: 101 }), ask(110, true, { node: 2, consistency: 'strict' })],
  ],
  ['active after the client was disabled', ['K1'], [issue(), wide('disable', 50), ask(1_070, true, { node: 1 })]],
  ['alive again with the client', ['K1'], [issue(), wide('disable', 50), wide('enable', 60), ask(1_070, true, { node: 1 })]],
  ['active after the client was deleted', ['K1'], [issue(), wide('delete', 50), ask(56, true)]],
  ['active after its secret ended with all tokens', ['K1'], [issue(), wide('end_secret', 50, { secret: 's' }), ask(56, true)]],
  [
    'alive again for who asks strictly, after a revocation that nobody answered',
    ['K2'],
    [issue(), revoke({ outcome: 'unknown', status: 0 }), ask(200, false), ask(206, true, { node: 1, consistency: 'preferred' })],
  ],
  [
    'alive again after the bound',
    ['K2'],
    [issue(), revoke({ outcome: 'unknown', status: 0 }), ask(200, false), ask(1_216, true, { node: 1 })],
  ],
  ['an id is given twice', ['K3'], [wide('create', 0), wide('create', 1, { node: 1 })]],
  ['an id is given again', ['K3'], [wide('create', 0), wide('delete', 10), wide('create', 50)]],
  ['a good token is inactive', ['K4'], [issue(), ask(10, false, { node: 1 })]],
  ['a good token is inactive before its end', ['K4'], [issue(), ask(10, false), revoke()]],
  ['the end was refused', ['K4', 'K4'], [issue(), revoke({ outcome: 'refused', status: 401 }), ask(110, false)]],
  ['the end did not get there', ['K4'], [issue(), revoke({ outcome: 'unreached', status: 0 }), ask(110, false)]],
  [
    'a token issued after the client was enabled is dead',
    ['K4'],
    [wide('disable', 0), wide('enable', 10), issue({ at: 20 }), ask(30, false)],
  ],
  ['other claims than before', ['K4'], [issue(), ask(10, true), ask(20, true, { claims: '{"client_id":"c","x":1}' })]],
  ["another token's claims", ['K4'], [issue(), issue({ token: 'u' }), ask(10, true), ask(20, true, { token: 'u' })]],
  ["another client's claims", ['K4'], [issue(), ask(10, true, { claims: '{"client_id":"d"}' })]],
  ['a good secret is refused', ['K4'], [issue({ outcome: 'refused', status: 401 })]],
  ['a token for a disabled client', ['K1'], [wide('disable', 0), issue({ at: 10 })]],
  ['a token for a removed secret', ['K1'], [wide('remove_secret', 0, { secret: 's' }), issue({ at: 10 })]],
  ['an introspection is refused', ['K4'], [issue(), ask(10, true, { outcome: 'refused', status: 401 })]],
  ['an error of the server', ['K6'], [issue({ outcome: 'broken', status: 500 })]],
  ['503 without Retry-After', ['K4'], [issue(), ask(10, true, { problem: '503 without Retry-After' })]],
];
for (const [what, rules, operations] of PLANTED) {
  test(`caught: ${what}`, () => assert.deepEqual(rulesOf(operations), rules));
}

const ALLOWED: readonly [what: string, operations: readonly Operation[]][] = [
  ['active at another node within the bound', [issue(), revoke(), ask(1_110, true, { node: 1 }), ask(1_120, false, { node: 1 })]],
  ['active while the revocation is under way', [issue(), revoke({ end: 500 }), ask(400, true, { node: 1, consistency: 'strict' })]],
  ['a revocation that nobody answered binds nothing', [issue(), revoke({ outcome: 'unavailable', status: 503 }), ask(9_000, true)]],
  ['and may have happened', [issue(), revoke({ outcome: 'unknown', status: 0 }), ask(120, false)]],
  ['a token of another client', [issue(), wide('disable', 50, { client: 'd' }), ask(9_000, true)]],
  ['a token that was issued later', [wide('disable', 0), wide('enable', 10), issue({ at: 20 }), ask(30, true)]],
  ['granted on what was true before', [wide('disable', 0), wide('enable', 10), issue({ at: 500, node: 1 }), ask(600, false)]],
  ['issued and ended at once', [issue({ at: 0, end: 20 }), wide('disable', 10), ask(40, false), ask(41, false, { node: 1 })]],
  ['a removed secret ends no token', [issue(), wide('remove_secret', 50, { secret: 's' }), ask(9_000, true)]],
  ['a disabled client is refused', [wide('disable', 0), issue({ at: 10, outcome: 'refused', status: 401 })]],
];
for (const [what, operations] of ALLOWED) test(`allowed: ${what}`, () => assert.deepEqual(rulesOf(operations), []));

test('a fault excuses the nodes that it hits, for its time', () => {
  const late = (at: number, node: number) => ask(at, true, { node, outcome: 'unavailable', status: 503 });
  assert.deepEqual(rulesOf([issue(), late(10, 1)], window('a fault', errorsOf(1))), []);
  assert.deepEqual(rulesOf([issue(), late(10, 2)], window('a fault', errorsOf(1))), ['K6']);
  assert.deepEqual(rulesOf([issue(), late(1_010, 1)], window('a fault', errorsOf(1))), ['K6']);
  assert.deepEqual(rulesOf([issue(), late(10, 1)], window('a fault', NO_ERRORS)), ['K6']);
  assert.deepEqual(rulesOf([issue(), late(10, 1)], []), ['K6']);
});

test('the longest staleness is from the answer to an end to the last question that was answered active', () => {
  assert.equal(longestStaleness({ operations: [issue(), revoke(), ask(400, true), ask(300, true), ask(900, false)] }), 295);
});

test('a history is the same after it was written and read', () => {
  const history = { maxStalenessMs: 1_000, operations: [issue(), ask(10, true)], windows: window('a fault', errorsOf(1)) };
  assert.deepEqual(readHistory(writeHistory(history)), history);
});

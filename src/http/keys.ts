/** `/keys`: the signing keys and their schedule (docs/keys.md). */
import { type FieldProblem, Problem } from '../core/errors.ts';
import type { PlannedKey, Rotation } from '../core/key-schedule.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { authorize, hasBody, JSON_TYPE, parseTime, readChange } from './management.ts';

const SCOPE = 'auth:keys';

export const keyRoutes: readonly Route[] = [
  { method: 'GET', path: '/keys', style: 'management', answer: listKeys },
  { method: 'POST', path: '/keys/rotate', style: 'management', answer: rotateKeys },
];

/** All that there ever were, in one page: some a year. */
async function listKeys(call: Call, deps: HttpDeps): Promise<Response> {
  await authorize(call, deps, SCOPE);
  return json({ items: (await deps.signingKeys.schedule()).map(keyDocument) });
}

async function rotateKeys(call: Call, deps: HttpDeps): Promise<Response> {
  const { actor, document } = hasBody(call.request)
    ? await readChange(call, deps, SCOPE, JSON_TYPE)
    : { actor: await authorize(call, deps, SCOPE), document: {} };
  const { key, outcome } = await deps.keyAdministration.rotate(parseRotation(document), actor);
  return json(keyDocument(key), outcome === 'made' ? 201 : 200);
}

/** @throws Problem `invalid_request` */
function parseRotation(document: Readonly<Record<string, unknown>>): Rotation {
  const { activate_at, compromised = false, ...others } = document;
  const time = activate_at === 'now' ? 'now' : parseTime(activate_at);
  const fields: FieldProblem[] = Object.keys(others).map((other) => ({ pointer: `/${other}`, detail: 'is not a known member' }));
  if (typeof compromised !== 'boolean') fields.push({ pointer: '/compromised', detail: 'must be true or false' });
  if (activate_at !== undefined && time === undefined)
    fields.push({ pointer: '/activate_at', detail: 'must be a time, RFC 3339, or "now"' });
  if (activate_at !== undefined && compromised === true)
    fields.push({ pointer: '/activate_at', detail: 'cannot be given: after a compromise the new key signs at once' });
  if (fields.length > 0) throw new Problem('invalid_request', 'the rotation is not valid', fields);
  return compromised === true ? { kind: 'compromised' } : { kind: 'planned', activateAt: time };
}

/** Nothing private: the public part is at `/jwks`. */
function keyDocument({ kid, alg, state, createdAt, activeFrom, retiringFrom, goneAt }: PlannedKey): Readonly<Record<string, unknown>> {
  return {
    kid,
    alg,
    state,
    created_at: createdAt.toISOString(),
    active_from: activeFrom.toISOString(),
    ...(retiringFrom && { retiring_from: retiringFrom.toISOString() }),
    ...(goneAt && { gone_at: goneAt.toISOString() }),
  };
}

/** `/keys`: the signing keys and their schedule (docs/keys.md). */
import { z } from 'zod';
import { readFields } from '../core/fields.ts';
import type { PlannedKey, Rotation } from '../core/key-schedule.ts';
import { json } from './answers.ts';
import type { Call, HttpDeps, Route } from './app.ts';
import { authorize, hasBody, JSON_TYPE, readChange, time } from './management.ts';

const SCOPE = 'auth:keys';

const ACTIVATE_AT = 'must be a time, RFC 3339, or "now"';
export const ROTATION = z
  .strictObject({
    activate_at: z.union([z.literal('now'), time(ACTIVATE_AT)], ACTIVATE_AT).optional(),
    compromised: z.boolean('must be true or false').default(false),
  })
  .refine(({ activate_at, compromised }) => !compromised || activate_at === undefined, {
    path: ['activate_at'],
    message: 'cannot be given: after a compromise the new key signs at once',
  });

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
  const { activate_at: activateAt, compromised } = readFields(ROTATION, document, 'the rotation is not valid');
  return compromised ? { kind: 'compromised' } : { kind: 'planned', activateAt };
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

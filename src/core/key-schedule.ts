/**
 * Which key signs when: next → active → retiring → gone. A state is a function of the records and the time, so all nodes switch at the same moment
 * without a word between them (docs/keys.md). And what a rotation changes in the records.
 */
import { ACCESS_TOKEN_TTL_MAX_SECONDS } from './clients.ts';
import { Problem } from './errors.ts';
import type { PublicJwk, SigningAlg } from './signing-key.ts';

export interface KeyRecord {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly publicJwk: PublicJwk;
  /** published since then */
  readonly createdAt: Date;
  /** it signs from then on, until the next one does */
  readonly activeFrom: Date;
  /** gone since then, before its time, and what it signed has ended */
  readonly endedAt: Date | undefined;
}

export type KeyState = 'next' | 'active' | 'retiring' | 'gone';

export interface KeyPlan {
  readonly state: KeyState;
  /** `undefined`: no other key is to follow yet */
  readonly retiringFrom: Date | undefined;
  readonly goneAt: Date | undefined;
}

export type PlannedKey = KeyRecord & KeyPlan;

/** What is decided by configuration. */
export interface KeyPolicy {
  readonly alg: SigningAlg;
  /** how long a key signs; `undefined`: until somebody asks for another one */
  readonly rotationSeconds: number | undefined;
  /** how long a key is published before it signs */
  readonly announceSeconds: number;
}

export type Rotation =
  | {
      readonly kind: 'planned';
      /** `undefined`: after the announcement, or when it is planned already */
      readonly activateAt: Date | 'now' | undefined;
    }
  /** all keys that there are end now, and what they signed ends with them */
  | { readonly kind: 'compromised' };

export type KeyChange =
  | {
      readonly kind: 'make';
      readonly activeFrom: Date;
      /** keys that are gone at once */
      readonly ends: readonly string[];
    }
  | { readonly kind: 'move'; readonly kid: string; readonly activeFrom: Date }
  /** what is wanted is there */
  | { readonly kind: 'keep'; readonly kid: string };

const JWKS_MAX_AGE_SECONDS = 300;
const METADATA_MAX_AGE_SECONDS = 3_600;
const ACTIVATION_DAYS_MAX = 366;
const DAY_MS = 86_400_000;
/** A node that is slow signs with the key of before a little longer. */
const SWITCH_MS_MAX = 3_600_000;
const RETIRING_MS = ACCESS_TOKEN_TTL_MAX_SECONDS * 1000 + SWITCH_MS_MAX;
/** The one that signs comes first, at `/jwks` as well. */
const ORDER: readonly KeyState[] = ['active', 'next', 'retiring', 'gone'];

/** @returns all of them with their states: the one that signs, those that will, those that did, the last ones first */
export function planKeys<K extends KeyRecord>(records: readonly K[], nowMs: number): readonly (K & KeyPlan)[] {
  const living = records.filter(({ endedAt }) => !endedAt).toSorted((a, b) => startOf(a) - startOf(b) || (a.kid < b.kid ? -1 : 1));
  // Somebody has to sign, also for a node whose clock is a moment behind the one that made the only key.
  const active = living.findLast((record) => startOf(record) <= nowMs) ?? living[0];
  const planned = living.map((record, index) => {
    const retiringFrom = living[index + 1]?.activeFrom;
    const goneAt = retiringFrom && new Date(retiringFrom.getTime() + RETIRING_MS);
    return { ...record, state: record === active ? ('active' as const) : passiveState(record, goneAt, nowMs), retiringFrom, goneAt };
  });
  const ended = records.flatMap((record) =>
    record.endedAt ? [{ ...record, state: 'gone' as const, retiringFrom: undefined, goneAt: record.endedAt }] : [],
  );
  return [...planned, ...ended].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || startOf(b) - startOf(a));
}

/** What a verifier may need, the signing key first. */
export function publishedKeys(keys: readonly PlannedKey[]): readonly PublicJwk[] {
  return keys.filter(({ state }) => state !== 'gone').map(({ publicJwk }) => publicJwk);
}

/**
 * Whoever obeys it knows each key before it signs. Half of the announcement at most, because the other half is what a node may be behind that has not
 * heard of a key, and what is lost where times are of whole seconds.
 */
export function jwksMaxAgeSeconds(announceSeconds: number): number {
  return Math.min(JWKS_MAX_AGE_SECONDS, Math.floor(announceSeconds / 2));
}

/** The metadata names one algorithm: it may not be kept beyond the switch to another one, planned or still to be. */
export function metadataMaxAgeSeconds(keys: readonly PlannedKey[], announceSeconds: number, nowMs: number): number {
  const changes = keys.filter(({ state, alg }) => state === 'next' && alg !== keys[0]?.alg);
  const untilChange = changes.map(({ activeFrom }) => Math.max(0, Math.floor((activeFrom.getTime() - nowMs) / 1000)));
  return Math.min(METADATA_MAX_AGE_SECONDS, Math.floor(announceSeconds / 2), ...untilChange);
}

/** The first key signs at once. One of another algorithm than is configured is followed by one that is, which is announced like any other. */
export function planStart(keys: readonly PlannedKey[], policy: KeyPolicy, nowMs: number): KeyChange | undefined {
  const next = keys.find(({ state }) => state === 'next');
  const newest = next ?? keys.find(({ state }) => state === 'active');
  if (!newest) return { kind: 'make', activeFrom: new Date(nowMs), ends: [] };
  if (newest.alg === policy.alg) return undefined;
  return { kind: 'make', activeFrom: announced(policy, nowMs), ends: next ? [next.kid] : [] };
}

/** The next key, once its time to be announced has come. */
export function planSchedule(keys: readonly PlannedKey[], policy: KeyPolicy, nowMs: number): KeyChange | undefined {
  const active = keys.find(({ state }) => state === 'active');
  if (!active || policy.rotationSeconds === undefined || keys.some(({ state }) => state === 'next')) return undefined;
  const due = startOf(active) + policy.rotationSeconds * 1000;
  const soonest = announced(policy, nowMs);
  return due <= soonest.getTime() ? { kind: 'make', activeFrom: soonest, ends: [] } : undefined;
}

/**
 * What somebody asks for. There is one next key at most: who asks again gets the same one, or moves its moment.
 *
 * @throws Problem `invalid_request` — before verifiers can know the key, in the past, or too far away
 */
export function planRotation(keys: readonly PlannedKey[], rotation: Rotation, policy: KeyPolicy, nowMs: number): KeyChange {
  if (rotation.kind === 'compromised') {
    const ends = keys.filter(({ state }) => state !== 'gone').map(({ kid }) => kid);
    return { kind: 'make', activeFrom: new Date(nowMs), ends };
  }
  const next = keys.find(({ state }) => state === 'next');
  const { activateAt } = rotation;
  if (activateAt === undefined) {
    return next ? { kind: 'keep', kid: next.kid } : { kind: 'make', activeFrom: announced(policy, nowMs), ends: [] };
  }
  const activeFrom = activateAt === 'now' ? new Date(nowMs) : activateAt;
  requireKnown(activeFrom, next?.createdAt ?? new Date(nowMs), policy, nowMs);
  if (!next) return { kind: 'make', activeFrom, ends: [] };
  return startOf(next) === activeFrom.getTime() ? { kind: 'keep', kid: next.kid } : { kind: 'move', kid: next.kid, activeFrom };
}

/** Those that have signed for the last time: a private key that is not there cannot be stolen. */
export function keysWithoutUse(keys: readonly PlannedKey[], nowMs: number): readonly string[] {
  return keys.flatMap(({ kid, state, retiringFrom }) => {
    const hasSigned = retiringFrom !== undefined && retiringFrom.getTime() + SWITCH_MS_MAX <= nowMs;
    return state === 'gone' || (state === 'retiring' && hasSigned) ? [kid] : [];
  });
}

function startOf({ activeFrom }: KeyRecord): number {
  return activeFrom.getTime();
}

function passiveState(record: KeyRecord, goneAt: Date | undefined, nowMs: number): KeyState {
  if (startOf(record) > nowMs) return 'next';
  return goneAt && goneAt.getTime() <= nowMs ? 'gone' : 'retiring';
}

function announced({ announceSeconds }: KeyPolicy, nowMs: number): Date {
  return new Date(nowMs + announceSeconds * 1000);
}

/** @throws Problem `invalid_request` */
function requireKnown(activeFrom: Date, announcedAt: Date, { announceSeconds }: KeyPolicy, nowMs: number): void {
  const knownSeconds = 2 * jwksMaxAgeSeconds(announceSeconds);
  const earliest = Math.max(nowMs, announcedAt.getTime() + knownSeconds * 1000);
  const time = activeFrom.getTime();
  if (time >= earliest && time <= nowMs + ACTIVATION_DAYS_MAX * DAY_MS) return;
  const detail = `must not be past, nor earlier than ${knownSeconds} s after the key was announced, nor in more than ${ACTIVATION_DAYS_MAX} days`;
  throw new Problem('invalid_request', 'the rotation is not valid', [{ pointer: '/activate_at', detail }]);
}

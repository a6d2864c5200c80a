import type { Observer } from '../../src/coherence/ports.ts';

/** For tests in which nobody looks. */
export const UNOBSERVED: Observer = { proved: () => undefined, proofFailed: () => undefined, settled: () => undefined };

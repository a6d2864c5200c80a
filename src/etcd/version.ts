/** The first release of each series without the defects that would matter here (docs/operations.md). */
const FLOORS: readonly (readonly [major: number, minor: number, patch: number])[] = [
  [3, 5, 33],
  [3, 6, 14],
  [3, 7, 1],
];

/** @param version as etcd says it, `3.5.33` */
export function isBelowFloor(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.+-]/).map(Number);
  const floor = FLOORS.find((of) => of[0] === major && of[1] === minor);
  if (floor) return patch < floor[2];
  return major < 3 || (major === 3 && minor < 5);
}

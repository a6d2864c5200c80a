/** JSON merge patch, RFC 7396 §2: members of `patch` replace, `null` removes, objects merge. */
export function mergePatch(target: unknown, patch: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, isObject(value) ? mergePatch(merged.get(name), value) : value);
  }
  return Object.fromEntries(merged);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

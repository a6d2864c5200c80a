/**
 * How many characters have to be added, left out or replaced to make one text of the other (Levenshtein).
 *
 * @param max if it is more, any larger number is as good: most texts that have nothing in common are left after a few characters
 */
export function editDistance(a: string, b: string, max = Number.POSITIVE_INFINITY): number {
  let row = Uint16Array.from({ length: b.length + 1 }, (_, index) => index);
  let next = new Uint16Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    let least = i;
    next[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1);
      const changed = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced);
      next[j] = changed;
      if (changed < least) least = changed;
    }
    if (least > max) return least;
    [row, next] = [next, row];
  }
  return row[b.length] ?? 0;
}

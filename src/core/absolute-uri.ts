/** RFC 3986 §4.3, in the characters of §2: an absolute URI, so without a fragment. */
export function isAbsoluteUri(value: string): boolean {
  return /^[a-z][a-z0-9+.-]*:[\x21\x23-\x5b\x5d\x5f\x61-\x7a\x7e]+$/i.test(value) && !value.includes('#') && URL.canParse(value);
}

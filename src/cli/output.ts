/** What goes to the terminal. What a server sent is untrusted: a client's name must not move the cursor. */

import { endOf } from './secret-end.ts';

/** Control characters, line separators, and those that turn the direction of text and so can make it read otherwise. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** Seconds since 1970 on the wire (RFC 7519 §2). */
const NUMERIC_DATES = new Set(['exp', 'iat', 'nbf', 'client_id_issued_at']);

export type Document = Readonly<Record<string, unknown>>;

export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd');
}

export function writeLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function writeNote(text: string): void {
  process.stderr.write(`note: ${printable(text)}\n`);
}

/** A JSON text as it came; only what a terminal could act upon is escaped, and that stands in strings, where the escape means the same. */
export function writeJson(json: string): void {
  const escaped = (character: string) =>
    '\t\r\n'.includes(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  writeLine(json.trim().replace(UNPRINTABLE, escaped));
}

/** One line per member, the values in one column. */
export function writeDocument(document: Document): void {
  const { secrets, ...members } = document;
  const width = Math.max(...Object.keys(document).map((name) => printable(name).length));
  for (const [name, value] of Object.entries(members)) writeLine(`${printable(name).padEnd(width)}  ${valueText(name, value)}`);
  if (secrets === undefined) return;
  const nowMs = Date.now();
  const lines = documentsOf(secrets).map((secret) => secretText(secret, nowMs));
  writeLine(`${'secrets'.padEnd(width)}  ${lines.length === 0 ? '-' : lines.join(`\n${' '.repeat(width + 2)}`)}`);
}

function valueText(name: string, value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return printable(value.join(', ')) || '-';
  if (typeof value === 'number' && NUMERIC_DATES.has(name) && Math.abs(value) < 8.64e12) {
    return `${value} (${new Date(value * 1000).toISOString().replace('.000', '')})`;
  }
  return printable(typeof value === 'string' ? value || '-' : JSON.stringify(value));
}

function secretText(secret: Document, nowMs: number): string {
  const { id, name, created_at, expires_at, last_used_at } = secret;
  const parts = [
    textOf(id),
    ...(name === undefined ? [] : [`"${textOf(name)}"`]),
    `created ${textOf(created_at)}`,
    ...(expires_at === undefined ? [] : [endOf(textOf(expires_at), nowMs)]),
    last_used_at === undefined ? 'never used' : `last used ${textOf(last_used_at)}`,
  ];
  return parts.join(', ').replace(', ', '  ');
}

/** @returns printable text; empty for what is no string */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? printable(value) : '';
}

/** The objects of a list. */
export function documentsOf(value: unknown): readonly Document[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'object' && item !== null) : [];
}

export function writeTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  for (const line of lines) {
    const cells = line.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    writeLine(cells.join('  ').trimEnd());
  }
}

/** Reads what `GET /metrics` answers. */
import assert from 'node:assert/strict';
import { request } from './client.ts';

export interface Exposed {
  /** by the metric's name */
  readonly types: ReadonlyMap<string, string>;
  /** `name{a="b"}` as it is written */
  readonly values: ReadonlyMap<string, number>;
  /** names of labels, sorted, by the metric's name; those of a histogram without `le` */
  readonly labels: ReadonlyMap<string, readonly string[]>;
}

export async function scrape(url: string): Promise<Exposed> {
  const { status, text } = await request(`${url}/metrics`);
  assert.equal(status, 200);
  return parseMetrics(text);
}

export function parseMetrics(text: string): Exposed {
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  const labels = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type?.[1] && type[2]) {
      assert.ok(!types.has(type[1]), `${type[1]} comes twice`);
      types.set(type[1], type[2]);
    }
    if (line === '' || line.startsWith('#')) continue;
    const [, series = '', value = ''] = /^(\S+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    assert.ok(series !== '' && !values.has(series), line);
    values.set(series, Number(value.replace('Inf', 'Infinity')));
    const [, sample = '', inBraces = ''] = /^([^{]+)(?:\{(.*)\})?$/.exec(series) ?? [];
    const name = types.has(sample) ? sample : sample.replace(/_(bucket|sum|count)$/, '');
    assert.ok(types.has(name), `${sample} has no type`);
    const names = [...inBraces.matchAll(/(\w+)="/g)].map(([, label = '']) => label).filter((label) => label !== 'le');
    labels.set(name, [...new Set([...(labels.get(name) ?? []), ...names])].sort());
  }
  return { types, values, labels };
}

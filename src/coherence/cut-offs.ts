/**
 * Cut-offs: what was issued before a position of the change log, or before a second, has ended. Each is kept at its highest, so entries may come twice,
 * late or out of order.
 */
import type { AccessTokenRecord } from '../core/access-token.ts';
import type { ChangeEntry } from '../core/ports.ts';

type CutOffKind = 'client' | 'subject' | 'all';
export type CutOff = ChangeEntry & { readonly kind: CutOffKind };
export type Issued = Pick<AccessTokenRecord, 'clientId' | 'subject' | 'issuedAt' | 'issuedSeq'>;

export class CutOffs {
  readonly #marks: Record<CutOffKind, Marks> = { client: new Marks(), subject: new Marks(), all: new Marks() };

  add({ kind, key, seq, issuedBefore }: CutOff): void {
    const { seqs, seconds } = this.#marks[kind];
    if (issuedBefore === undefined) raise(seqs, key, seq);
    else raise(seconds, key, issuedBefore);
  }

  end({ clientId, subject, issuedAt, issuedSeq }: Issued): boolean {
    const { client, subject: subjects, all } = this.#marks;
    return (
      client.isAfter(clientId, issuedSeq, issuedAt) ||
      subjects.isAfter(subject, issuedSeq, issuedAt) ||
      all.isAfter('', issuedSeq, issuedAt)
    );
  }
}

class Marks {
  readonly seqs = new Map<string, number>();
  readonly seconds = new Map<string, number>();

  isAfter(key: string, issuedSeq: number, issuedAt: number): boolean {
    return issuedSeq < (this.seqs.get(key) ?? 0) || issuedAt < (this.seconds.get(key) ?? 0);
  }
}

function raise(marks: Map<string, number>, key: string, to: number): void {
  marks.set(key, Math.max(to, marks.get(key) ?? 0));
}

/** Mistakes that the simulation has to catch (K8), each as what is replaced in the compiled program. What caught them: docs/reliability.md. */
import type { Mutant } from './mutant.ts';

const FRESHNESS: readonly Mutant[] = [
  {
    name: 'freshness counts from the receipt of an answer',
    edits: [['freshness', 'this.#lease.grant(asked, ', 'this.#lease.grant(this.#lease.ask(), ']],
    seed: 27,
  },
  {
    name: 'a strict question joins the look that is under way',
    edits: [['freshness', 'this.#patiently(this.#probes.after())', 'this.#patiently(this.#probes.running ?? this.#probes.after())']],
    seed: 1,
  },
  {
    name: 'no look at the freshness before an answer',
    edits: [['memory', 'if (!mayAnswer()) await ensureFresh(); // No `await`', '// No `await`']],
    seed: 1,
  },
  {
    name: 'an await between the check and the verdict',
    edits: [['memory', '// No `await` from here on', 'await options.sleep(20); //']],
    seed: undefined,
  },
  {
    name: 'the verdict is older than its proof',
    edits: [
      [
        'memory',
        'if (!mayAnswer()) await ensureFresh(); // No `await`',
        'const before = denied.denies(record); if (!mayAnswer()) await ensureFresh(); // No `await`',
      ],
      ['memory', '{ record, revoked: denied.denies(record) }', '{ record, revoked: before }'],
    ],
    seed: 1,
  },
  {
    name: 'a doubt does not count for the look that is under way',
    edits: [['lease', 'if (discards !== this.#discards) return;', '']],
    seed: undefined,
  },
  {
    name: 'clocks that disagree are ignored',
    edits: [['lease', '&& Math.abs(this.#difference() - this.#clocksApart) <= CLOCKS_APART_MS_MAX', '']],
    seed: 23,
  },
  {
    name: 'a strict node that is not fresh is content with the look under way',
    edits: [['memory', 'return membership ? freshness.prove() : freshness.ensure();', 'return freshness.ensure();']],
    seed: undefined,
  },
  {
    name: 'the same, and what the look has proven is not looked at',
    edits: [
      ['memory', 'return membership ? freshness.prove() : freshness.ensure();', 'return freshness.ensure();'],
      ['freshness', 'if (!this.isFresh()) await this.#probes.after(); if (!this.isFresh()) throw', 'if (false) throw'],
    ],
    seed: 95,
  },
  {
    name: 'a look that fails proves as well',
    edits: [['freshness', 'await probe();', 'await probe().catch(() => undefined);']],
    seed: 6,
  },
];

const LOG: readonly Mutant[] = [
  { name: 'the log is numbered by a plain sequence', edits: [], postgres: { plainSequence: true }, seed: 1 },
  {
    name: 'a page is taken for the whole log',
    edits: [
      ['follower', 'this.#applied = readTo;', 'this.#applied = lastSeq;'],
      ['follower', 'if (readTo >= lastSeq) break;', 'break;'],
    ],
    seed: 1,
  },
  {
    name: 'what the bus says moves the position',
    edits: [['follower', 'hear(entry) {', 'hear(entry) { if (entry.seq > this.#applied) this.#applied = entry.seq;']],
    seed: undefined,
  },
  {
    name: 'another epoch is not noticed',
    edits: [['follower', 'if (epoch !== this.#epoch) throw', 'if (false) throw']],
    seed: undefined,
  },
  {
    name: 'a position that goes back is not noticed',
    edits: [
      ['follower', 'if (lastSeq < floor) throw', 'if (false) throw'],
      ['follower', 'if (this.#tail !== undefined && before !== this.#tail) {', 'if (false) {'],
    ],
    seed: 34,
  },
  {
    name: 'a position that goes back is noticed only by what was applied',
    edits: [['follower', 'const floor = Math.max(this.#lastSeq, this.#seen);', 'const floor = this.#lastSeq;']],
    seed: undefined,
  },
  {
    name: 'a client record that arrives late is kept',
    edits: [['memory', 'if (known && known.asOfSeq >= changed.at(clientId)) {', 'if (known !== undefined) {']],
    seed: 78,
  },
  {
    name: 'a changed client is not forgotten',
    edits: [['memory', 'if ((clients.get(clientId)?.asOfSeq ?? seq) < seq) clients.delete(clientId);', '']],
    seed: 1,
  },
  {
    name: 'a cut-off goes back',
    edits: [['cut-offs', 'marks.set(key, Math.max(to, marks.get(key) ?? 0));', 'marks.set(key, to);']],
    seed: 18,
  },
  {
    name: 'a cut-off ends what was issued knowing of it',
    edits: [['cut-offs', 'issuedSeq < (this.seqs', 'issuedSeq <= (this.seqs']],
    seed: 1,
  },
  {
    name: "the deny set is pruned by the node's wall clock",
    edits: [['memory', 'denied.prune(turn++, follower.nowMs / 1000);', 'denied.prune(turn++, wall() / 1000);']],
    seed: 8,
  },
  {
    name: 'the deny set is pruned when the token expires',
    edits: [['deny-set', 'const KEPT_SECONDS = 600;', 'const KEPT_SECONDS = 0;']],
    seed: undefined,
  },
  {
    name: 'the same, and time may go back',
    edits: [
      ['deny-set', 'const KEPT_SECONDS = 600;', 'const KEPT_SECONDS = 0;'],
      ['memory', 'latest = Math.max(latest, Math.floor(nowMs / 1000));', 'latest = Math.floor(nowMs / 1000);'],
    ],
    seed: undefined,
  },
  {
    name: 'a token that was said to be revoked is not remembered',
    edits: [['memory', 'denied.denyToken(tokenHash, found.record.expiresAt);', '']],
    seed: 39,
  },
  {
    name: '"not there" is shared with who came later',
    edits: [['single-flight', 'if (joined !== undefined) return joined;', 'if (before) return joined;']],
    seed: 7,
  },
  {
    name: 'expiry is judged by the time of the question',
    edits: [['memory', 'record.expiresAt > Math.max(at, now())', 'record.expiresAt > at']],
    seed: undefined,
  },
  {
    name: "expiry is judged by the node's wall clock",
    edits: [['memory', 'const nowMs = clock.nowMs + (monotonic() - clock.readAt);', 'const nowMs = wall();']],
    seed: 1,
  },
  {
    name: "the log's clock is set before its pages are read",
    edits: [['memory', 'const nowMs = clock.nowMs +', 'const nowMs = follower.nowMs +']],
    seed: 1,
  },
];

const REVOCATIONS: readonly Mutant[] = [
  {
    name: 'a revocation is answered before its commit',
    edits: [
      [
        'memory',
        'const entry = await options.tokens.revoke(record, by);',
        'options.tokens.revoke(record, by).catch(() => undefined); const entry = { seq: -1 };',
      ],
    ],
    seed: 1,
  },
  {
    name: 'a node does not apply its own change before it answers',
    edits: [['memory', 'announced(entry) { follower.hear(entry);', 'announced(entry) {']],
    seed: 3,
  },
  {
    name: 'nobody is waited for',
    edits: [['acknowledgements', 'if (mine.length === 0) return;', 'return;']],
    seed: 1,
  },
  {
    name: 'a second revocation is answered at once',
    edits: [['memory', 'else { await settleBefore(); }', '']],
    seed: 1,
  },
  {
    name: 'a second revocation does not wait for the others',
    edits: [['memory', 'await acknowledgements.settleAll(follower.applied);', '']],
    seed: 1,
  },
  {
    name: 'disabling again is answered at once',
    edits: [['memory', 'if (wasDisabled && updated?.disabled) await settleBefore();', '']],
    seed: 108,
  },
  {
    name: 'the wait for a silent node is shorter than its bound',
    edits: [['acknowledgements', 'const RATE = 1.01;', 'const RATE = 0.9;']],
    seed: 185,
  },
  {
    name: 'the wait for a silent node is by the bound of the revoker',
    edits: [['acknowledgements', ', ...(late ?? []).map((node) => node.maxStalenessMs)', '']],
    seed: 37,
  },
  {
    name: 'the revoker looks at the nodes before its commit',
    edits: [
      [
        'memory',
        'const entry = await options.tokens.revoke(record, by);',
        'acknowledgements.before = options.nodes.live(); acknowledgements.before.catch(() => undefined); const entry = await options.tokens.revoke(record, by);',
      ],
      ['acknowledgements', 'const live = await this.#look.after()', 'const live = await (this.before ?? this.#look.after())'],
    ],
    seed: undefined,
  },
  {
    name: 'the revoker joins a look at the nodes that is under way',
    edits: [['acknowledgements', 'await this.#look.after()', 'await (this.#look.running ?? this.#look.after())']],
    seed: undefined,
  },
  {
    name: 'without an answer to who is there, time decides',
    edits: [['acknowledgements', 'if (!late) throw', 'if (false) throw']],
    seed: undefined,
  },
  {
    name: 'an acknowledgement counts for every change',
    edits: [
      [
        'acknowledgements',
        'const waiting = this.#acknowledged.get(seq); if (!waiting ||',
        'for (const { nodeIds } of this.#acknowledged.values()) nodeIds.add(nodeId); const waiting = undefined; if (!waiting ||',
      ],
    ],
    seed: undefined,
  },
  {
    name: 'an acknowledgement of another epoch counts',
    edits: [['memory', 'if (epoch === follower.epoch && from === nodeId) acknowledgements', 'if (from === nodeId) acknowledgements']],
    seed: undefined,
  },
  {
    name: 'a change is acknowledged before it is applied',
    edits: [
      [
        'memory',
        'follower.hear(announcement.entry); if (membership',
        'options.sleep(20).then(() => follower.hear(announcement.entry)); if (membership',
      ],
    ],
    seed: 4,
  },
  {
    name: 'a change is acknowledged and not applied',
    edits: [['memory', 'follower.hear(announcement.entry);', '']],
    seed: 4,
  },
  {
    name: 'a change of another epoch is applied',
    edits: [['memory', 'if (announcement.epoch !== follower.epoch || announcement.from === nodeId) return;', '']],
    seed: undefined,
  },
];

const MEMBERSHIP: readonly Mutant[] = [
  {
    name: 'what was proven before joining counts',
    edits: [['membership', 'if (!this.isLive()) onJoined();', '']],
    seed: undefined,
  },
  {
    name: 'membership is relied on for longer than the row',
    edits: [['membership', 'const RELIED_ON_MS = ROW_MS / 2;', 'const RELIED_ON_MS = ROW_MS * 2;']],
    seed: undefined,
  },
  {
    name: 'a node that is not a member answers from memory',
    edits: [
      ['memory', 'freshness.isFresh() && (membership?.isLive() ?? true)', 'freshness.isFresh()'],
      ['memory', 'if (membership && !membership.isLive()) return freshness.prove();', ''],
    ],
    seed: 14,
  },
  {
    name: 'a node says that it has applied what it has only heard of',
    edits: [
      ['memory', 'await membership.renew(applied);', 'await membership.renew(Math.max(applied, follower.heardMax ?? 0));'],
      ['follower', 'hear(entry) {', 'hear(entry) { this.heardMax = Math.max(this.heardMax ?? 0, entry.seq);'],
    ],
    seed: 20,
  },
  {
    name: 'a node that leaves goes on answering from memory',
    edits: [['membership', 'this.#lease.discard(); // Else', '// Else']],
    seed: undefined,
  },
  {
    name: 'a row is always prolonged without waiting for the disk',
    edits: [],
    postgres: { prolongedAbove: 0 },
    seed: undefined,
  },
];

export const MUTANTS: readonly Mutant[] = [...FRESHNESS, ...LOG, ...REVOCATIONS, ...MEMBERSHIP];

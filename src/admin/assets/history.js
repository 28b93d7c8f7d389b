// What the messages were, and what follows from two of them: counters are sums since
// the start.

export const OUTCOMES = ["memory", "redis", "stale", "revalidated", "coalesced", "misses", "bypasses"];
export const NAMES = {
  memory: "hit, memory", redis: "hit, Redis", stale: "stale", revalidated: "revalidated",
  coalesced: "coalesced", misses: "miss", bypasses: "bypass",
};
const FIELDS = ["hits_memory", "hits_redis", "stale", "revalidated", "coalesced", "misses", "bypasses"];
const LONGEST = 300;
const ROWS = 10;

export function requests(counts) {
  return counts.reduce((sum, n) => sum + n, 0);
}

// Hit, stale, revalidated and coalesced over these and misses.
export function hitRatio(counts) {
  const hits = requests(counts.slice(0, 5));
  return hits + counts[5] > 0 ? hits / (hits + counts[5]) : null;
}

export class History {
  samples = [];
  rows = [];

  push(message) {
    const counts = FIELDS.map((field) => message.total[field]);
    const last = this.samples.at(-1);
    if (last && counts.some((n, at) => n < last.counts[at])) {
      this.samples = []; // it was reset, or is another process
      this.rows = [];
    }
    this.samples.push({ at: message.at / 1000, counts });
    if (this.samples.length > LONGEST + 1) this.samples.shift();
    this.rows.push({ at: message.at / 1000, of: new Map(message.endpoints) });
    if (this.rows.length > ROWS + 1) this.rows.shift();
  }

  // Requests a second between two messages, by outcome.
  rates() {
    const rates = [];
    for (let at = 1; at < this.samples.length; at++) {
      const [before, now] = [this.samples[at - 1], this.samples[at]];
      const took = now.at - before.at;
      if (took <= 0) continue;
      rates.push({ at: now.at, counts: now.counts.map((n, i) => (n - before.counts[i]) / took) });
    }
    return rates;
  }

  // What was counted in the last so many seconds, and how long that is.
  since(seconds) {
    const now = this.samples.at(-1);
    const first = this.samples.find((sample) => sample.at >= now.at - seconds) ?? now;
    return { counts: now.counts.map((n, at) => n - first.counts[at]), took: now.at - first.at };
  }

  // Requests a second of one endpoint.
  rate(name) {
    const [first, now] = [this.rows[0], this.rows.at(-1)];
    const took = now.at - first.at;
    const all = (row) => requests((row.of.get(name) ?? []).slice(0, 7));
    return took > 0 ? (all(now) - all(first)) / took : null;
  }
}

import { createFixedWindow } from "./fixed-window.ts";
import type { Reported } from "./rate-limit.ts";

/*
 * What is known of one limit of a provider (requests or tokens per minute): how much may be spent
 * now, and how fast it refills. Times are in ms; `perMs` is the refill rate.
 *
 *   open        nothing is known; every call is granted. Left by `seed` (a limit is
 *               configured), `observe` (an answer reports one) or `learn` (refusals showed one).
 *   configured  the limit of a minute is known, but not how much of it may be spent at once. Spends
 *               up to twice as fast as the limit flows, until a quarter of a minute's limit was
 *               spent beyond it or a refusal shows that nothing is left; then as it flows. In no
 *               minute is more spent than the limit.
 *   reported        answers report what remains. That is the level, less what was sent after the request
 *               that the answer belongs to, plus what flowed in since.
 *   learned     refusals alone: the rate is what got through between two of them, and creeps up
 *               with each call, faster the longer all goes well. One that is only guessed, because
 *               too few calls got through to show it, grows with time, too: at a low rate there are not
 *               enough calls to find out that it is too low.
 */
export type Bucket = ReturnType<typeof createBucket>;

const MINUTE = 60_000;
/** This much of the flow stays unspent, because the counts and clocks of the two sides differ a little. */
const MARGIN_MS = 250;
/** After an unexpected refusal the level is assumed to be this far below zero. */
const EMPTY_MS = 400;
/** A configured limit may be spent this far ahead until the provider's own burst is known. */
const SMOOTH_MS = 500;
const LEARNED_BURST_MS = 200;
/**
 * A learned rate grows with the square of the calls since it was set: by 6 % after `GROWTH_AFTER_CALLS`, by 24 %
 * after twice as many. A measured rate grows so slowly that probing costs one call in a hundred.
 */
const GROWTH = 0.06;
const GROWTH_AFTER_CALLS = { measured: 120, guessed: 30 };
const GROWTH_AFTER_MS = { measured: Infinity, guessed: 5000 };
/** A configured limit that was slowed down recovers by this share of itself. */
const RECOVERY_PER_SECOND = 0.005;
const SLOWEST_PER_MS = 1 / MINUTE;

export const BUCKET_KINDS = ["open", "configured", "reported", "learned"] as const;
type BucketKind = (typeof BUCKET_KINDS)[number];

/** The limit per minute and what remains of it now; `null` if there is none. */
export type BucketState = {
  source: BucketKind;
  perMinute: number | null;
  remaining: number | null;
};

export function createBucket(configured: number | null, start: number) {
  const minute = configured === null ? null : createMinute(configured);
  let ceiling = configured === null ? Infinity : configured / MINUTE;
  let kind: BucketKind = configured === null ? "open" : "configured";
  let perMs = configured === null ? Infinity : ceiling;
  let capacity = perMs * SMOOTH_MS;
  let level = capacity;
  let at = start;
  /** For a configured limit: what may still be spent beyond the flow. */
  let credit = configured === null ? 0 : configured / 4;
  /** Everything ever spent, to compute what was spent after some moment. */
  let spent = 0;
  /**
   * For a learned rate: the rate, the calls and the time since it was set, and how many calls or how much time it
   * takes until it grows.
   */
  let learned = { perMs: 0, since: 0, calls: 0, afterCalls: 1, afterMs: Infinity, burstMs: 0 };
  /** The recent average cost of a call. */
  let grain = 0;
  const fixed = createFixedWindow();

  function flow(now: number): void {
    const ms = Math.max(0, now - at);
    at = Math.max(at, now);
    if (kind === "open" || ms === 0) return;
    const windowEnd = fixed.endsAt();
    if (windowEnd !== null) {
      if (now < windowEnd) return;
      level = capacity;
      fixed.moveTo(windowEnd + MINUTE * Math.ceil((now - windowEnd + 1) / MINUTE));
      return;
    }
    if (kind === "configured")
      perMs = Math.min(ceiling, perMs * (1 + RECOVERY_PER_SECOND * (ms / 1000)));
    const extra = kind === "configured" ? Math.min(credit, ms * perMs) : 0;
    const filled = Math.min(capacity, level + ms * perMs + extra);
    credit -= Math.max(0, Math.min(extra, filled - level - ms * perMs));
    level = Math.max(level, filled);
  }

  /**
   * What must stay unspent: a moment's flow, and at least the cost of two calls, because each may cost more than
   * expected. With slow limits a moment's flow is less than one call.
   */
  const margin = () =>
    kind === "reported" ? Math.min(capacity / 10, Math.max(perMs * MARGIN_MS, 2 * grain)) : 0;

  const needed = (amount: number) => Math.min(amount, capacity - margin());

  /** What may be spent now. */
  function room(now: number): number {
    if (kind === "open") return Infinity;
    flow(now);
    return Math.min(level - margin(), minute?.room(now) ?? Infinity);
  }

  return {
    room,
    kind: () => kind,
    /** The current limit per minute, or `null` if there is none. */
    perMinute: () => (kind === "open" ? null : perMs * MINUTE),
    spent: () => spent,
    state: (now: number): BucketState => ({
      source: kind,
      perMinute: kind === "open" ? null : Math.round(perMs * MINUTE),
      remaining: kind === "open" ? null : Math.max(0, Math.floor(room(now))),
    }),

    spend(amount: number, now: number): void {
      spent += amount;
      if (kind === "open") return;
      grain = grain === 0 ? amount : grain + (amount - grain) / 16;
      flow(now);
      if (kind === "learned") grow(now);
      // However wrong an expectation was, the level is right again after a minute.
      level = Math.max(level - amount, -perMs * MINUTE);
      minute?.spend(amount, now);
    },

    /** The call cost `actual`, and `reserved` had been spent for it. Reported levels already include it. */
    correct(reserved: number, actual: number, now: number): void {
      if (kind === "open" || kind === "reported") return;
      flow(now);
      level = Math.min(capacity, level - (actual - reserved));
      minute?.spend(actual - reserved, now);
    },

    /**
     * Whether `amount` may be spent now, after `before`. An amount above the capacity is granted when the bucket is
     * full.
     */
    fits: (amount: number, now: number, before = 0) => room(now) - before >= needed(amount),

    /** When `amount` may be spent, at the soonest. */
    whenFits(amount: number, now: number): number {
      const need = needed(amount);
      if (room(now) >= need) return now;
      const missing = need - level + margin();
      const windowEnd = fixed.endsAt();
      const flowing = missing <= 0 ? 0 : windowEnd === null ? missing / perMs : windowEnd - now;
      return now + Math.max(flowing, minute?.whenRoom(need, now) ?? 0);
    },

    /**
     * Takes in what an answer reports. `sentAt` is when its request was sent and `spentThen` what
     * `spent()` was then, its own cost included.
     */
    observe(
      { limit, remaining, resetMs }: Reported,
      sentAt: number,
      spentThen: number,
      now: number,
    ) {
      flow(now);
      const isFirst = kind !== "reported";
      const most = limit ?? Math.max(remaining ?? 0, isFirst ? 0 : capacity);
      if (most < 1) return;
      kind = "reported";
      perMs = Math.min(ceiling, flowOf(most, remaining, resetMs));
      // The debt may have been counted at another rate.
      capacity = Math.min(capacity, most);
      level = Math.min(capacity, Math.max(level, -perMs * MINUTE));
      if (remaining === null) {
        if (isFirst) capacity = level = perMs * SMOOTH_MS;
        return;
      }
      capacity = Math.min(most, resetMs === null ? most : remaining + resetMs * perMs + perMs);
      if (resetMs !== null) fixed.observe({ remaining, resetMs, sentAt, heardAt: now }, perMs);
      const isWindow = fixed.endsAt() !== null;
      if (isWindow) capacity = most;
      const since = isWindow ? 0 : perMs * (now - sentAt);
      const seen = Math.min(capacity, remaining + since) - (spent - spentThen);
      // Answers overtake each other, so a level above the expected one is adopted gradually, unless nothing was sent
      // after this request.
      const isSure = isFirst || seen < level || spent === spentThen;
      level = Math.max(isSure ? seen : level + (seen - level) / 4, -perMs * MINUTE);
    },

    /** Whether the level is so far from full that nothing flowed over. */
    isDrawn: (remaining: number) =>
      kind === "reported" && fixed.endsAt() === null && remaining < capacity * 0.9,
    perMs: () => perMs,

    /** The provider refused a call: nothing was left. */
    empty(now: number): void {
      if (kind === "open") return;
      flow(now);
      credit = 0;
      level = Math.min(level, -perMs * EMPTY_MS);
    },

    /** No answer reports a limit, but refusals show that there is one: about `rate` per ms. */
    learn(rate: number, from: "measured" | "guessed", resumeAt: number): void {
      kind = "learned";
      perMs = Math.max(SLOWEST_PER_MS, Math.min(ceiling, rate));
      // A guessed rate is tried call by call, because a burst above the true limit would be refused at once.
      const burstMs = from === "measured" ? LEARNED_BURST_MS : 0;
      learned = {
        perMs,
        since: resumeAt,
        calls: 0,
        afterCalls: GROWTH_AFTER_CALLS[from],
        afterMs: GROWTH_AFTER_MS[from],
        burstMs,
      };
      capacity = Math.max(1, perMs * burstMs);
      level = 1;
      at = resumeAt;
    },

    /** This process may use only a share of a configured limit, because other processes use the rest. */
    divide(parts: number, now: number): void {
      if (configured === null) return;
      flow(now);
      ceiling = configured / parts / MINUTE;
      minute?.setLimit(configured / parts);
      credit = Math.min(credit, configured / parts / 4);
      perMs = kind === "configured" ? ceiling : Math.min(ceiling, perMs);
      if (kind === "configured") capacity = perMs * SMOOTH_MS;
      level = Math.min(level, capacity);
    },

    slow(factor: number): void {
      if (kind === "configured" || kind === "learned") perMs *= factor;
    },
  };

  function grow(now: number): void {
    learned.calls++;
    const share = Math.max(
      learned.calls / learned.afterCalls,
      (now - learned.since) / learned.afterMs,
    );
    perMs = Math.min(ceiling, learned.perMs * (1 + GROWTH * share * share));
    capacity = Math.max(1, perMs * learned.burstMs);
  }
}

/**
 * The refill rate of a limit. A limit is assumed to be per minute, unless refilling what is missing until the reset
 * would take longer (a limit per day).
 */
function flowOf(limit: number, remaining: number | null, resetMs: number | null): number {
  const perMinute = limit / MINUTE;
  if (remaining === null || resetMs === null || resetMs <= 0 || remaining > limit / 2)
    return perMinute;
  return Math.min(perMinute, (limit - remaining) / resetMs);
}

/** What was spent in the last minute, by seconds. */
function createMinute(first: number) {
  let limit = first;
  const seconds = new Float64Array(60);
  let second = 0;
  let sum = 0;
  function advance(now: number): void {
    const current = Math.floor(now / 1000);
    for (let s = Math.max(second + 1, current - 59); s <= current; s++) {
      sum -= seconds[s % 60] ?? 0;
      seconds[s % 60] = 0;
    }
    second = Math.max(second, current);
  }
  return {
    setLimit: (next: number) => (limit = next),
    room(now: number): number {
      advance(now);
      return limit - sum;
    },
    spend(amount: number, now: number): void {
      advance(now);
      seconds[second % 60] = (seconds[second % 60] ?? 0) + amount;
      sum += amount;
    },
    /** Ms until `amount` fits into the minute. */
    whenRoom(amount: number, now: number): number {
      advance(now);
      let missing = Math.min(amount, limit) - (limit - sum);
      for (let s = second - 59; missing > 0 && s <= second; s++) {
        missing -= seconds[((s % 60) + 60) % 60] ?? 0;
        if (missing <= 0) return (s + 60) * 1000 - now;
      }
      return 0;
    },
  };
}

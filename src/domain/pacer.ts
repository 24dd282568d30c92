import { type BucketState, createBucket } from "./bucket.ts";
import type { RateLimitSignals, Told } from "./rate-limit.ts";

/** Limits of a minute as somebody configured them; `null` where they are to be learned. */
export type Limits = { rpm: number | null; tpm: number | null };

/** A call that was started, as the pacer remembers it. */
export type Ticket = {
  at: number;
  /** Tokens that were reserved for it. */
  tokens: number;
  /** What had been spent until it was sent, itself included: requests, tokens, and tokens unweighted. */
  requestsThen: number;
  tokensThen: number;
  expectedThen: number;
};

export type CallEnd = {
  /** `overloaded`: the provider has no room for anybody, which tells nothing of our rate. */
  outcome: "answered" | "throttled" | "overloaded" | "failed";
  signals: RateLimitSignals | null;
  /** Tokens that the provider says were used. */
  usedTokens: number | null;
};

export type Pacer = ReturnType<typeof createPacer>;

/** What a pacer knows, for people. */
export type PacerState = {
  inFlight: number;
  blockedUntil: number | null;
  requests: BucketState;
  tokens: BucketState;
};

export type PacerOptions = { limits: Limits; backoffMs: number; longestBackoffMs: number };

/**
 * Calls in flight at the start; each answer allows one more, and so does time, which doubles them:
 * whoever refuses calls does it faster than that, and calls that hang must not keep others waiting.
 */
const FIRST_WINDOW = 8;
const DOUBLING_MS = 100;
/** Tokens that must have been spent between two answers for them to tell how the provider counts. */
const SAMPLE_CALLS = 8;
const UNLIMITED_WINDOW = 4096;
/** A provider may ask for hours; beyond this it is asked again all the same. */
const LONGEST_WAIT_MS = 3_600_000;
/** What gets through between two refusals tells the rate if it was at least so much for so long. */
const MEASURE_MS = 1000;
const MEASURE_CALLS = 5;
const MEASURE_FIRST_MS = 100;
const MIN_WEIGHT = 0.25;
const MAX_WEIGHT = 20;
/** A refusal this soon after another means that the limit is lower than it seems. */
const AGAIN_MS = 10_000;

/*
 * Decides when calls of one provider and model may start, so that they come as fast as the provider
 * allows and no faster. A pure object: it is told the time and never waits.
 *
 *   unknown   no limit is configured or told. The calls in flight start at 8 and double with each
 *             round of answers or tenth of a second (slow start), so that a provider without
 *             limits is soon not limited.
 *   known     a request and a token bucket say what may start (`bucket.ts`).
 *   learned   a refusal came, but no limit is told: additive increase, multiplicative decrease of a
 *             rate of calls. A provider's bucket is empty whenever it refuses, so what got through
 *             between two refusals is what it lets through; the rate is set just below that.
 *   blocked   after a refusal, for as long as the provider asks, else for an exponential back-off.
 *             Refusals of calls that were sent before the first of them say nothing new.
 */
export function createPacer({ limits, backoffMs, longestBackoffMs }: PacerOptions, start: number) {
  const requests = createBucket(limits.rpm, start);
  const tokens = createBucket(limits.tpm, start);
  const isConfigured = limits.rpm !== null || limits.tpm !== null;
  let window = FIRST_WINDOW;
  let inFlight = 0;
  let admitted = 0;
  let blockedUntil = -Infinity;
  /** When a call was last refused, for whatever reason. */
  let blockedAt = -Infinity;
  let refusals = 0;
  let lastRefusal: { at: number; admitted: number } | null = null;
  let firstCallAt: number | null = null;
  /** What the provider counts for a token that is expected: some count `max_tokens`, say, in full. */
  let weight = 1;
  let expectedSum = 0;
  let sample: { at: number; remaining: number; ticket: Ticket } | null = null;

  const isKnown = () => requests.kind() !== "open" || tokens.kind() !== "open";

  function openWindow(now: number): number {
    if (window >= UNLIMITED_WINDOW) return Infinity;
    const grown = FIRST_WINDOW * 2 ** ((now - (firstCallAt ?? now)) / DOUBLING_MS);
    if (grown >= UNLIMITED_WINDOW) window = UNLIMITED_WINDOW;
    return Math.max(window, Math.floor(grown));
  }

  /** How many calls may start now, tokens apart; `Infinity` where nothing limits them. */
  function room(now: number): number {
    if (blockedUntil > now) return 0;
    const slots = isKnown() ? Infinity : openWindow(now) - inFlight;
    if (slots <= 0) return 0;
    const calls = requests.room(now);
    if (calls === Infinity) return slots;
    return Math.min(slots, calls < 1 && requests.fits(1, now) ? 1 : Math.max(0, Math.floor(calls)));
  }

  /** Starts no call for a while. Returns whether this tells anything that an earlier refusal did not. */
  function block(asked: number | null, ticket: Ticket, now: number): boolean {
    if (asked !== null)
      blockedUntil = Math.max(blockedUntil, now + Math.min(asked, LONGEST_WAIT_MS));
    // Sent before we knew: it tells nothing that the first refusal did not tell.
    if (ticket.at <= blockedAt) return false;
    blockedAt = now;
    refusals++;
    if (asked === null) {
      const backoff = backoffMs * 2 ** Math.min(refusals - 1, 30);
      blockedUntil = Math.max(blockedUntil, now + Math.min(longestBackoffMs, backoff));
    }
    return true;
  }

  function refuse(end: CallEnd, ticket: Ticket, now: number): void {
    const asked = end.signals?.retryAfterMs ?? null;
    if (!block(asked, ticket, now)) return;
    const since = lastRefusal ?? { at: firstCallAt ?? now, admitted: 0 };
    const isFirst = lastRefusal === null;
    lastRefusal = { at: now, admitted };
    if (isKnown() && requests.kind() !== "learned") {
      if (end.signals?.scarce !== "tokens") requests.empty(now);
      if (end.signals?.scarce !== "requests") tokens.empty(now);
      if (!isFirst && now - since.at < AGAIN_MS) for (const b of [requests, tokens]) b.slow(0.9);
      return;
    }
    const ms = Math.max(isFirst ? MEASURE_FIRST_MS : 1, now - since.at);
    const through = (isFirst ? requests.spent() : admitted - since.admitted) / ms;
    const isMeasured = !isFirst && ms >= MEASURE_MS && admitted - since.admitted >= MEASURE_CALLS;
    const present = (requests.perMinute() ?? Infinity) / 60_000;
    const rate = isFirst
      ? through / 2
      : isMeasured
        ? through * 0.95
        : Math.max(present * 0.7, Math.min(present, through * 0.95));
    requests.learn(rate, isMeasured ? "measured" : "guessed", Math.max(now, blockedUntil));
  }

  /** Compares what remained at two answers with what was expected to be spent between them. */
  function weigh({ remaining }: Told, ticket: Ticket): void {
    // Calls that were sent before anybody counted tokens tell nothing.
    if (remaining === null || ticket.tokens === 0 || !tokens.isDrawn(remaining)) {
      sample = null;
      return;
    }
    const expected = sample ? ticket.expectedThen - sample.ticket.expectedThen : 0;
    if (
      sample &&
      ticket.requestsThen - sample.ticket.requestsThen >= SAMPLE_CALLS &&
      expected > 0
    ) {
      const counted = sample.remaining - remaining + tokens.perMs() * (ticket.at - sample.at);
      const seen = Math.max(MIN_WEIGHT, Math.min(MAX_WEIGHT, counted / expected));
      weight += (seen - weight) / (seen > weight ? 3 : 6);
    } else if (sample) return;
    sample = { at: ticket.at, remaining, ticket };
  }

  return {
    room,

    /** Whether tokens limit the calls, so that it is worth counting them. */
    limitsTokens: () => tokens.kind() !== "open",
    /** Whether a call of so many tokens may start now, after calls of `before` tokens. */
    fitsTokens: (amount: number, now: number, before = 0) =>
      tokens.fits(amount * weight, now, before * weight),
    isBlocked: (now: number) => blockedUntil > now,

    /** When a call of so many tokens may start, at the soonest. */
    whenRoom(amount: number, now: number): number {
      const at = Math.max(now, blockedUntil);
      if (!isKnown() && inFlight >= openWindow(at))
        return (firstCallAt ?? now) + DOUBLING_MS * Math.log2((inFlight + 1) / FIRST_WINDOW) + 1;
      return Math.max(requests.whenFits(1, at), tokens.whenFits(amount * weight, at));
    },

    /** A call starts; `cost` is what it is expected to take in tokens. */
    start(cost: number, now: number): Ticket {
      firstCallAt ??= now;
      inFlight++;
      requests.spend(1, now);
      tokens.spend(cost * weight, now);
      expectedSum += cost;
      return {
        at: now,
        tokens: cost * weight,
        requestsThen: requests.spent(),
        tokensThen: tokens.spent(),
        expectedThen: expectedSum,
      };
    },

    /** A call ended. */
    end(ticket: Ticket, end: CallEnd, now: number): void {
      inFlight--;
      const { signals } = end;
      if (end.outcome === "throttled" || end.outcome === "overloaded") {
        // It is taken to have cost nothing where we count ourselves.
        requests.correct(1, 0, now);
        tokens.correct(ticket.tokens, 0, now);
      } else {
        admitted++;
        if (end.outcome === "answered") {
          refusals = 0;
          if (window < UNLIMITED_WINDOW) window++;
        }
        if (end.usedTokens !== null) tokens.correct(ticket.tokens, end.usedTokens, now);
      }
      if (signals?.requests)
        requests.observe(signals.requests, ticket.at, ticket.requestsThen, now);
      if (signals?.tokens) {
        tokens.observe(signals.tokens, ticket.at, ticket.tokensThen, now);
        if (end.outcome === "answered" || end.outcome === "failed") weigh(signals.tokens, ticket);
      }
      if (end.outcome === "throttled") refuse(end, ticket, now);
      if (end.outcome === "overloaded") block(signals?.retryAfterMs ?? null, ticket, now);
    },

    /** Whether somebody told of limits, and what they are now: of a minute, `null` where unlimited. */
    limits: () => ({ rpm: requests.perMinute(), tpm: tokens.perMinute(), isConfigured }),
    /** So many processes share the configured limits. */
    divide(parts: number, now: number): void {
      for (const bucket of [requests, tokens]) bucket.divide(parts, now);
    },
    inFlight: () => inFlight,
    blockedUntil: () => blockedUntil,
    state: (now: number): PacerState => ({
      inFlight,
      blockedUntil: blockedUntil > now ? blockedUntil : null,
      requests: requests.state(now),
      tokens: tokens.state(now),
    }),
  };
}

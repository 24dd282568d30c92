import { type Bucket, type BucketState, createBucket } from "./bucket.ts";
import { createAtOnce } from "./calls-at-once.ts";
import type { RateLimitSignals, Reported } from "./rate-limit.ts";
import { createSlowStart } from "./slow-start.ts";
import { createSurprises } from "./surprises.ts";

/** Configured limits per minute; `null` if they are to be learned. */
export type Limits = { rpm: number | null; tpm: number | null };

/** A call that was started, as the pacer remembers it. */
export type Ticket = {
  at: number;
  /** Tokens that were reserved for it. */
  tokens: number;
  /** What had been spent when it was sent, itself included: requests, tokens, and unweighted tokens. */
  requestsThen: number;
  tokensThen: number;
  expectedThen: number;
};

export type CallEnd = {
  /** `overloaded`: the provider has no capacity for any client, which says nothing about the rate of this one. */
  outcome: "answered" | "throttled" | "overloaded" | "failed";
  signals: RateLimitSignals | null;
  /** Tokens that the provider says were used. */
  usedTokens: number | null;
};

export type Pacer = ReturnType<typeof createPacer>;

/** The state of a pacer, for display. */
export type PacerState = {
  inFlight: number;
  blockedUntil: number | null;
  requests: BucketState;
  tokens: BucketState;
};

export type PacerOptions = { limits: Limits; backoffMs: number; longestBackoffMs: number };

/** Tokens that must have been spent between two answers before they show how the provider counts. */
const SAMPLE_CALLS = 8;
/** A provider may ask for a wait of hours; after this long a call is tried regardless. */
const LONGEST_WAIT_MS = 3_600_000;
const MINUTE_MS = 60_000;
const MIN_WEIGHT = 0.25;
const MAX_WEIGHT = 20;
/** A limit counts as used up if less than this share of it remains. */
const USED_UP = 0.02;
/** A refusal this soon after another means that the limit is lower than assumed. */
const AGAIN_MS = 10_000;

/*
 * Decides when calls of one provider and model may start, so that they come as fast as the provider
 * allows and no faster. A pure object: the time is passed in, and it never waits.
 *
 *   starting  no limit is configured or learned. The calls in flight start at 8, and grow as calls turn
 *             out to be accepted (`slow-start.ts`), so that a provider without limits is soon not limited.
 *   known     a request and a token bucket say what may start (`bucket.ts`).
 *   learned   an unexpected refusal came: no limit is reported, or what headers report is not
 *             the limit that was hit (Groq reports that of the day). A rate of calls is learned then, and kept
 *             besides what is reported. A provider's bucket is empty whenever it refuses, so what got
 *             through between two refusals is what it lets through (`surprises.ts`).
 *   at once   a refusal says that too many calls are in flight: as many as were served then may be,
 *             and one more now and then.
 *   blocked   after a refusal, for as long as the provider asks, else for an exponential back-off.
 *             Refusals of calls that were sent before the first of them say nothing new.
 */
export function createPacer({ limits, backoffMs, longestBackoffMs }: PacerOptions, start: number) {
  const requests = createBucket(limits.rpm, start);
  const tokens = createBucket(limits.tpm, start);
  /** The rate of calls that is learned from refusals if no limit, or a wrong one, is reported. */
  const rate = createBucket(null, start);
  const atOnce = createAtOnce();
  const isConfigured = limits.rpm !== null || limits.tpm !== null;
  const slowStart = createSlowStart();
  let inFlight = 0;
  let refused = 0;
  let blockedUntil = -Infinity;
  /** When a call was last refused, whatever the reason. */
  let blockedAt = -Infinity;
  let refusals = 0;
  const surprises = createSurprises();
  let lastRefusedAt = -Infinity;
  /** How many tokens the provider counts for each expected token: some count `max_tokens` in full, for example. */
  let weight = 1;
  let expectedSum = 0;
  let sample: { at: number; remaining: number; ticket: Ticket } | null = null;

  /** The limit in the headers may not be the one that is hit first, so the slow start continues. */
  const isStarting = () => !isConfigured && rate.kind() === "open" && !slowStart.isOver();

  /** How many calls may start now, not considering tokens; `Infinity` if nothing limits them. */
  function room(now: number): number {
    if (blockedUntil > now) return 0;
    const slots = Math.min(
      isStarting() ? slowStart.window(now) - inFlight : Infinity,
      atOnce.most() - inFlight,
    );
    return slots <= 0 ? 0 : Math.min(slots, callsIn(requests, now), callsIn(rate, now));
  }

  function callsIn(bucket: Bucket, now: number): number {
    const calls = bucket.room(now);
    if (calls === Infinity) return calls;
    return calls < 1 && bucket.fits(1, now) ? 1 : Math.max(0, Math.floor(calls));
  }

  /** Starts no call for a while. Returns whether this shows anything that an earlier refusal did not. */
  function block(asked: number | null, ticket: Ticket, now: number): boolean {
    if (asked !== null)
      blockedUntil = Math.max(blockedUntil, now + Math.min(asked, LONGEST_WAIT_MS));
    // The call was sent before the first refusal was known, so it shows nothing new.
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
    // A wait of zero names no time.
    const asked = end.signals?.retryAfterMs || null;
    if (end.signals?.scarce === "calls") {
      atOnce.refused(inFlight, ticket.at, now);
      if (asked !== null) block(asked, ticket, now);
      return;
    }
    if (!block(asked, ticket, now)) return;
    if (!wasForetold(end.signals, ticket, now)) return learn(ticket, now);
    if (end.signals?.scarce !== "tokens") requests.empty(now);
    if (end.signals?.scarce !== "requests") tokens.empty(now);
    if (now - lastRefusedAt < AGAIN_MS) for (const bucket of [requests, tokens]) bucket.slow(0.9);
    lastRefusedAt = now;
  }

  /** Whether a refusal was expected: a known limit is used up. */
  function wasForetold(signals: RateLimitSignals | null, ticket: Ticket, now: number): boolean {
    if (isConfigured) return true;
    const reported = [signals?.requests, signals?.tokens].filter((one) => one?.remaining != null);
    if (reported.length === 0)
      return callsIn(requests, now) < 2 || !tokens.fits(ticket.tokens, now);
    const isUsedUp = (one: Reported | null | undefined, need: number) =>
      one?.remaining != null && one.remaining <= Math.max(2 * need, (one.limit ?? 0) * USED_UP);
    return isUsedUp(signals?.requests, 1) || isUsedUp(signals?.tokens, ticket.tokens);
  }

  function learn(ticket: Ticket, now: number): void {
    const resumeAt = Math.max(now, blockedUntil);
    const found = surprises.add({
      at: now,
      sentAt: ticket.at,
      sent: ticket.requestsThen,
      refused,
      waitMs: resumeAt - now,
      perMs: (rate.perMinute() ?? Infinity) / MINUTE_MS,
    });
    rate.learn(found.perMs, found.from, resumeAt);
  }

  /** Compares what remained at two answers with what was expected to be spent between them. */
  function weigh({ remaining }: Reported, ticket: Ticket): void {
    // Calls that were sent before tokens were counted show nothing.
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
    /** Whether a call of this many tokens may start now, after calls of `before` tokens. */
    fitsTokens: (amount: number, now: number, before = 0) =>
      tokens.fits(amount * weight, now, before * weight),
    isBlocked: (now: number) => blockedUntil > now,

    /** The earliest time at which a call of this many tokens may start. */
    whenRoom(amount: number, now: number): number {
      const at = Math.max(now, blockedUntil);
      if (isStarting() && inFlight >= slowStart.window(at))
        return slowStart.whenAbove(inFlight, at);
      return Math.max(
        requests.whenFits(1, at),
        rate.whenFits(1, at),
        tokens.whenFits(amount * weight, at),
      );
    },

    /** A call starts; `cost` is its expected number of tokens. */
    start(cost: number, now: number): Ticket {
      slowStart.started(now);
      surprises.began(now);
      inFlight++;
      requests.spend(1, now);
      rate.spend(1, now);
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
        refused++;
        // If the count is this program's own, the call is assumed to have cost nothing.
        requests.correct(1, 0, now);
        rate.correct(1, 0, now);
        tokens.correct(ticket.tokens, 0, now);
      } else {
        if (end.outcome === "answered") {
          refusals = 0;
          atOnce.answered();
          slowStart.answered(ticket.at, now);
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

    /** The current limits per minute, `null` if there is none, and whether they are configured. */
    limits: () => ({ rpm: least(requests, rate), tpm: tokens.perMinute(), isConfigured }),
    /** The number of processes that share the configured limits. */
    divide(parts: number, now: number): void {
      for (const bucket of [requests, tokens]) bucket.divide(parts, now);
    },
    inFlight: () => inFlight,
    blockedUntil: () => blockedUntil,
    state: (now: number): PacerState => ({
      inFlight,
      blockedUntil: blockedUntil > now ? blockedUntil : null,
      requests: (isTighter(rate, requests) ? rate : requests).state(now),
      tokens: tokens.state(now),
    }),
  };
}

/** The lower of two limits per minute, if any. */
function least(a: Bucket, b: Bucket): number | null {
  return isTighter(b, a) ? b.perMinute() : a.perMinute();
}

function isTighter(a: Bucket, b: Bucket): boolean {
  return (a.perMinute() ?? Infinity) < (b.perMinute() ?? Infinity);
}

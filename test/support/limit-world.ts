import { createPacer, type Pacer, type Ticket } from "../../src/domain/pacer.ts";
import type { RateLimitSignals } from "../../src/domain/rate-limit.ts";
import { readRateLimits, readRefusal } from "../../src/providers/rate-limit-signals.ts";

/** A provider's answer to a call: whether it accepts it, with these headers and this body. */
export type Said = { ok: boolean; headers?: Record<string, string>; body?: string };

/** The wall time at which the virtual time begins, for headers with absolute times. */
export const EPOCH_MS = Date.parse("2026-01-01T00:00:00Z");

/** How a provider limits calls, in virtual time (ms). */
export type Behaviour = {
  name: string;
  calls: number;
  concurrency: number;
  /** The least time in ms that all calls can take, however they are paced. */
  idealMs: number;
  latencyMs?: (n: number) => number;
  /** The number of keys over which calls are spread. Each has its own pacer. */
  keys?: number;
  tokens?: number;
  /** How long a refusal takes; 20 ms unless it is given. */
  refusalMs?: number;
  begin(): (call: { at: number; inFlight: number; key: number }) => Said;
};

export type Outcome = { overIdeal: number; refused: number; failed: number };

const WAY_MS = 10;
const STEP_MS = 5;
/** The engine gives up a run after this many refusals. */
const MOST_REFUSALS = 100;
const TOO_LONG_MS = 3 * 3_600_000;

type Flying = {
  n: number;
  key: number;
  admitAt: number;
  endsAt: number;
  ticket: Ticket;
  ok: boolean;
  said: Said;
};

/** Runs a client that obeys its pacers against a provider, on one virtual clock. */
export function runWorld(behaviour: Behaviour): Outcome {
  const { calls, concurrency, keys = 1, tokens = 0, latencyMs = () => 300 } = behaviour;
  const { refusalMs = 20 } = behaviour;
  const admit = behaviour.begin();
  const pacers = Array.from({ length: keys }, () =>
    createPacer({ limits: { rpm: null, tpm: null }, backoffMs: 500, longestBackoffMs: 60_000 }, 0),
  );
  const waiting = Array.from({ length: calls }, (_, n) => n);
  const refusals = new Map<number, number>();
  let flying: Flying[] = [];
  const count = { done: 0, refused: 0, failed: 0 };
  let now = 0;

  function end(call: Flying): void {
    const { ok, said, ticket, key, n } = call;
    const signals = signalsOf(said, now);
    const usedTokens = ok ? tokens : null;
    pacers[key]?.end(ticket, { outcome: ok ? "answered" : "throttled", signals, usedTokens }, now);
    if (ok) {
      count.done++;
      return;
    }
    count.refused++;
    refusals.set(n, (refusals.get(n) ?? 0) + 1);
    if ((refusals.get(n) ?? 0) > MOST_REFUSALS) count.failed++;
    else waiting.unshift(n);
  }

  while (count.done + count.failed < calls && now < TOO_LONG_MS) {
    for (const call of flying.filter(({ endsAt }) => endsAt <= now)) end(call);
    flying = flying.filter(({ endsAt }) => endsAt > now);
    for (const call of flying) {
      if (call.admitAt > now || call.endsAt < Infinity) continue;
      const inFlight = flying.filter(({ ok }) => ok).length;
      call.said = admit({ at: now, inFlight, key: call.key });
      call.ok = call.said.ok;
      call.endsAt = now + (call.ok ? latencyMs(call.n) : refusalMs);
    }
    while (flying.length < concurrency && waiting.length > 0) {
      const key = roomiest(pacers, now);
      const pacer = key === undefined ? undefined : pacers[key];
      if (key === undefined || !pacer?.fitsTokens(tokens, now)) break;
      const n = waiting.shift() ?? 0;
      const ticket = pacer.start(pacer.limitsTokens() ? tokens : 0, now);
      const said = { ok: false };
      flying.push({ n, key, admitAt: now + WAY_MS, endsAt: Infinity, ticket, ok: false, said });
    }
    now += STEP_MS;
  }
  return {
    overIdeal: now / behaviour.idealMs,
    refused: count.refused / calls,
    failed: count.failed + (calls - count.done - count.failed),
  };
}

function roomiest(pacers: Pacer[], now: number): number | undefined {
  let best: number | undefined;
  for (const [key, pacer] of pacers.entries()) {
    if (pacer.room(now) < 1) continue;
    const other = best === undefined ? undefined : pacers[best];
    if (!other || pacer.inFlight() < other.inFlight()) best = key;
  }
  return best;
}

function signalsOf({ ok, headers, body }: Said, now: number): RateLimitSignals | null {
  const reported = new Headers(headers);
  const at = EPOCH_MS + now;
  return ok ? readRateLimits(reported, at) : readRefusal(reported, body ?? "", at);
}

/** A token bucket that is refilled continuously. */
export function bucket(perSecond: number, capacity: number) {
  let level = capacity;
  let at = 0;
  return {
    level: () => level,
    take(now: number): boolean {
      level = Math.min(capacity, level + ((now - at) / 1000) * perSecond);
      at = now;
      if (level < 1) return false;
      level--;
      return true;
    },
  };
}

/** At most `limit` calls per window. Windows are fixed, or slide if `isSliding`. */
export function window(limit: number, ms: number, isSliding = false) {
  let taken: number[] = [];
  return {
    left: () => limit - taken.length,
    resetMs: (now: number) => (isSliding ? (taken[0] ?? now) + ms - now : ms - (now % ms)),
    take(now: number): boolean {
      const from = isSliding ? now - ms : now - (now % ms);
      taken = taken.filter((at) => (isSliding ? at > from : at >= from));
      if (taken.length >= limit) return false;
      taken.push(now);
      return true;
    },
  };
}

import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import { createPacer, type Limits, type Ticket } from "../../src/domain/pacer.ts";
import type { RateLimitSignals } from "../../src/domain/rate-limit.ts";

type Speaks = "headers" | "retry-after" | "nothing";
type World = {
  rpm: number;
  tpm: number;
  /** The share of a minute's limit that may be used at once. */
  burst: number;
  speaks: Speaks;
  limits?: Limits;
  calls: number;
  concurrency?: number;
  latencyMs?: number;
  /** How often the client receives answers and acts. */
  lagMs?: number;
  tokens?: (n: number) => number;
  expected?: (n: number) => number;
};

/** A provider with two buckets and a client that obeys the pacer, on one virtual clock. */
function simulate(world: World) {
  const { rpm, tpm, burst, speaks, calls, concurrency = 64, latencyMs = 500 } = world;
  const tokensOf = world.tokens ?? (() => 250);
  const expected = world.expected ?? tokensOf;
  const pacer = createPacer(
    {
      limits: world.limits ?? { rpm: null, tpm: null },
      backoffMs: 500,
      longestBackoffMs: 60_000,
    },
    0,
  );
  const bucket = { requests: rpm * burst, tokens: tpm * burst, at: 0 };
  const flying: {
    admitAt: number;
    endsAt: number;
    ticket: Ticket;
    n: number;
    signals: RateLimitSignals | null;
    ok: boolean;
  }[] = [];
  let now = 0;
  let next = 0;
  const again: number[] = [];
  let done = 0;
  let refused = 0;
  let most = 0;
  const sent: number[] = [];
  const refusedAt: number[] = [];

  function admit(n: number) {
    const ms = now - bucket.at;
    bucket.at = now;
    bucket.requests = Math.min(rpm * burst, bucket.requests + (ms * rpm) / 60_000);
    bucket.tokens = Math.min(tpm * burst, bucket.tokens + (ms * tpm) / 60_000);
    const ok = bucket.requests >= 1 && bucket.tokens >= tokensOf(n);
    if (ok) {
      bucket.requests--;
      bucket.tokens -= tokensOf(n);
    }
    const reported = (limit: number, remaining: number) => ({
      limit,
      remaining: Math.max(0, Math.floor(remaining)),
      resetMs: ((limit * burst - remaining) / limit) * 60_000,
    });
    const wait = Math.max(
      ((1 - bucket.requests) / rpm) * 60_000,
      ((tokensOf(n) - bucket.tokens) / tpm) * 60_000,
    );
    const signals: RateLimitSignals = {
      requests: speaks === "headers" ? reported(rpm, bucket.requests) : null,
      tokens: speaks === "headers" ? reported(tpm, bucket.tokens) : null,
      retryAfterMs: !ok && speaks !== "nothing" ? Math.ceil(wait / 1000) * 1000 : null,
      scarce: null,
    };
    return { ok, signals };
  }

  while (done < calls && now < 3_600_000) {
    flying.sort((a, b) => a.endsAt - b.endsAt);
    const isAwake = now % (world.lagMs ?? 5) === 0;
    const heardUntil = isAwake ? now : -1;
    while (flying[0] && flying[0].endsAt <= heardUntil) {
      const call = flying.shift();
      if (!call) break;
      pacer.end(
        call.ticket,
        {
          outcome: call.ok ? "answered" : "throttled",
          signals: call.signals,
          usedTokens: call.ok ? tokensOf(call.n) : null,
        },
        now,
      );
      if (call.ok) done++;
      else {
        refused++;
        refusedAt.push(now);
        again.push(call.n);
      }
    }
    for (const call of flying) {
      if (call.admitAt > now || call.endsAt < Infinity) continue;
      const { ok, signals } = admit(call.n);
      const jitter = ((call.n * 7919) % 100) / 100 - 0.5;
      Object.assign(call, { ok, signals, endsAt: now + (ok ? latencyMs * (1 + 0.8 * jitter) : 5) });
    }
    const slots = isAwake ? concurrency : 0;
    while (flying.length < slots && (next < calls || again.length > 0)) {
      const n = again[0] ?? next;
      if (pacer.room(now) < 1 || !pacer.fitsTokens(expected(n), now)) break;
      if (again.length > 0) again.shift();
      else next++;
      // Tokens are not counted before a limit of tokens is known.
      const ticket = pacer.start(pacer.limitsTokens() ? expected(n) : 0, now);
      // Calls overtake each other on their way.
      const admitAt = now + 5 * ((n * 104_729) % 7);
      flying.push({ admitAt, endsAt: Infinity, ticket, n, signals: null, ok: false });
      sent.push(now);
      most = Math.max(most, flying.length);
    }
    now += 5;
  }
  const total = Array.from({ length: calls }, (_, n) => tokensOf(n)).reduce((a, b) => a + b, 0);
  const ideal =
    Math.max(((calls - rpm * burst) / rpm) * 60_000, ((total - tpm * burst) / tpm) * 60_000, 0) +
    latencyMs;
  return { ratio: now / ideal, refused: refused / calls, done, most, sent, now, pacer, refusedAt };
}

const BENCH = { rpm: 1200, tpm: 300_000, burst: 0.1, calls: 600 };
const varied = (n: number) => 150 + ((n * 37) % 201);

describe("against a provider that enforces both limits with burst", () => {
  test.each([
    ["headers", undefined, 1.05, 0.005],
    ["retry-after", { rpm: 1200, tpm: 300_000 }, 1.05, 0.005],
    ["headers", { rpm: 1200, tpm: 300_000 }, 1.05, 0.005],
    ["retry-after", undefined, 1.25, 0.1],
    ["nothing", undefined, 1.5, 0.1],
  ] as const)("that speaks in %s, with %p configured", (speaks, limits, ratio, refused) => {
    const run = simulate({
      ...BENCH,
      speaks,
      tokens: varied,
      expected: () => 250,
      ...(limits ? { limits } : {}),
    });
    expect(run.done).toBe(600);
    expect(run.ratio).toBeLessThanOrEqual(ratio);
    expect(run.refused).toBeLessThanOrEqual(refused);
  });

  test("any two limits and burst are learnt from headers alone, with hardly a refusal after the first report", () => {
    const worlds = fc.sample(
      fc.record({
        rpm: fc.integer({ min: 120, max: 3000 }),
        tpm: fc.integer({ min: 30_000, max: 1_000_000 }),
        burst: fc.double({ min: 0.05, max: 1, noNaN: true }),
        latencyMs: fc.integer({ min: 100, max: 1500 }),
      }),
      { numRuns: 200, seed: 1 },
    );
    // Slow limits: the flow of a moment is less than one call needs.
    worlds.push({ rpm: 150, tpm: 30_000, burst: 0.417, latencyMs: 626 });
    worlds.push({ rpm: 219, tpm: 31_181, burst: 0.415, latencyMs: 142 });
    const runs = worlds.map((world) => ({
      world,
      run: simulate({
        ...world,
        speaks: "headers",
        calls: 400,
        tokens: varied,
        expected: () => 250,
      }),
    }));
    const late = runs.map(
      ({ world, run }) => run.refusedAt.filter((at) => at > 3 * world.latencyMs + 2000).length,
    );
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    expect(runs.every(({ run }) => run.done === 400)).toBe(true);
    // The limit cannot be known before the first answers. After them, no refusal is acceptable.
    expect(sum(runs.map(({ run }) => run.refusedAt.length)) / (400 * runs.length)).toBeLessThan(
      0.01,
    );
    expect(sum(late) / (400 * runs.length)).toBeLessThan(0.001);
    expect(Math.max(...late)).toBeLessThanOrEqual(20);
  });

  test.each([50, 200, 400, 1000])(
    "is kept busy by a client that is awake only every %i ms",
    (lagMs) => {
      const run = simulate({
        ...BENCH,
        speaks: "headers",
        tokens: varied,
        expected: () => 250,
        lagMs,
      });
      expect(run.done).toBe(600);
      expect(run.ratio).toBeLessThan(1.15 + lagMs / 5000);
      expect(run.refused).toBeLessThan(0.05);
    },
  );

  test("a provider without limits is soon not limited", () => {
    const run = simulate({
      rpm: 1e9,
      tpm: 1e12,
      burst: 1,
      speaks: "nothing",
      calls: 3000,
      concurrency: 512,
      latencyMs: 100,
    });
    expect(run.most).toBe(512);
    // 8, 16, … 512 in less than six rounds, then all slots all the time: 3000 / 512 rounds more.
    expect(run.now).toBeLessThan(100 * (6 + 3000 / 512 + 4));
  });

  test("a configured limit is not exceeded in any minute, even if the provider would allow more", () => {
    const run = simulate({
      rpm: 1e9,
      tpm: 1e12,
      burst: 1,
      speaks: "nothing",
      calls: 500,
      limits: { rpm: 100, tpm: null },
    });
    for (const from of run.sent) {
      const inMinute = run.sent.filter((at) => at >= from && at < from + 59_000);
      expect(inMinute.length).toBeLessThanOrEqual(100);
    }
    expect(run.now / 60_000).toBeLessThan(5.2);
  });

  test("outputs that are longer than expected slow it down to the rate that the provider allows", () => {
    const run = simulate({ ...BENCH, speaks: "headers", tokens: () => 500, expected: () => 100 });
    expect(run.done).toBe(600);
    expect(run.ratio).toBeLessThan(1.1);
    expect(run.refused).toBeLessThan(0.4);
  });
});

const OPTIONS = { limits: { rpm: null, tpm: null }, backoffMs: 500, longestBackoffMs: 60_000 };
const silent: RateLimitSignals = { requests: null, tokens: null, retryAfterMs: null, scarce: null };

describe("after a refusal", () => {
  test("no call starts before the time that the provider names, and one does then", () => {
    const pacer = createPacer(OPTIONS, 0);
    const ticket = pacer.start(10, 1000);
    const signals = { ...silent, retryAfterMs: 3000 };
    pacer.end(ticket, { outcome: "throttled", signals, usedTokens: null }, 1020);
    expect(pacer.room(4019)).toBe(0);
    expect(pacer.whenRoom(10, 1020)).toBe(4020);
    expect(pacer.room(4020)).toBeGreaterThanOrEqual(1);
  });

  test("that names no time, the wait doubles each time, up to its limit, until an answer comes", () => {
    const pacer = createPacer(OPTIONS, 0);
    const waits: number[] = [];
    let now = 0;
    for (let i = 0; i < 10; i++) {
      now = Math.max(now + 1, pacer.whenRoom(0, now));
      const ticket = pacer.start(0, now);
      pacer.end(ticket, { outcome: "throttled", signals: silent, usedTokens: null }, (now += 1));
      waits.push(pacer.blockedUntil() - now);
    }
    expect(waits.slice(0, 4)).toEqual([500, 1000, 2000, 4000]);
    expect(waits.at(-1)).toBe(60_000);
  });

  test("a rate that was estimated too low from too few calls is soon corrected", () => {
    const pacer = createPacer(OPTIONS, 0);
    const end = { outcome: "throttled" as const, signals: silent, usedTokens: null };
    pacer.end(pacer.start(0, 0), { ...end, outcome: "answered" }, 2);
    let now = 3000;
    for (let i = 0; i < 3; i++) {
      pacer.end(pacer.start(0, now), end, now + 2);
      now = pacer.whenRoom(0, now + 2);
    }
    const learnedAt = now;
    let calls = 0;
    for (; now < learnedAt + 60_000; now = pacer.whenRoom(0, now + 2), calls++)
      pacer.end(pacer.start(0, now), { ...end, outcome: "answered" }, now + 2);
    expect(calls).toBeGreaterThan(50);
  });

  test("refusals of calls that were sent before it count as one", () => {
    const pacer = createPacer(OPTIONS, 0);
    const tickets = Array.from({ length: 10 }, () => pacer.start(0, 100));
    for (const ticket of tickets)
      pacer.end(ticket, { outcome: "throttled", signals: silent, usedTokens: null }, 200);
    expect(pacer.blockedUntil()).toBe(700);
  });
});

test("a fixed window is distinguished from a bucket: it is used up, and not exceeded", () => {
  const pacer = createPacer(OPTIONS, 0);
  let used = 0;
  let windowAt = 0;
  let refused = 0;
  let answered = 0;
  const flying: { at: number; ticket: Ticket; signals: RateLimitSignals; ok: boolean }[] = [];
  for (let now = 0; now < 300_000; now += 20) {
    if (now - windowAt >= 60_000) {
      windowAt += 60_000;
      used = 0;
    }
    while (flying[0] && flying[0].at <= now) {
      const call = flying.shift();
      if (!call) break;
      const outcome = call.ok ? "answered" : "throttled";
      pacer.end(call.ticket, { outcome, signals: call.signals, usedTokens: null }, now);
      if (call.ok) answered++;
      else refused++;
    }
    while (flying.length < 30 && pacer.room(now) >= 1) {
      const ok = used < 600;
      if (ok) used++;
      const resetMs = windowAt + 60_000 - now;
      const signals = {
        ...silent,
        requests: { limit: 600, remaining: 600 - used, resetMs },
        retryAfterMs: ok ? null : resetMs,
      };
      flying.push({ at: now + 300, ticket: pacer.start(0, now), signals, ok });
    }
  }
  expect(answered).toBeGreaterThanOrEqual(600 * 5 * 0.95);
  expect(refused / answered).toBeLessThan(0.01);
});

test("whatever a provider reports, calls start in the end", () => {
  const odd = fc.option(
    fc.oneof(fc.constantFrom(0, 1, 1e12, 1e-9), fc.double({ min: 0, max: 1e12, noNaN: true })),
    { nil: null },
  );
  const resetMs = fc.option(fc.double({ min: 0, max: 31 * 86_400_000, noNaN: true }), {
    nil: null,
  });
  const reported = fc.option(fc.record({ limit: odd, remaining: odd, resetMs }), { nil: null });
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          outcome: fc.constantFrom("answered", "throttled", "failed"),
          signals: fc.record({
            requests: reported,
            tokens: reported,
            retryAfterMs: odd,
            scarce: fc.constantFrom(null, "requests", "tokens"),
          }),
          usedTokens: odd,
          wait: fc.integer({ min: 0, max: 100_000 }),
        }),
        { maxLength: 20 },
      ),
      (ends) => {
        const pacer = createPacer(OPTIONS, 0);
        let now = 0;
        for (const { wait, ...end } of ends as (Parameters<typeof pacer.end>[1] & {
          wait: number;
        })[]) {
          const ticket = pacer.start(100, now);
          now += wait;
          pacer.end(ticket, end, now);
        }
        const at = pacer.whenRoom(100, now);
        expect(at - now).toBeLessThanOrEqual(32 * 86_400_000 * 100);
        const later = at + 1000;
        expect(pacer.room(later)).toBeGreaterThanOrEqual(1);
        expect(pacer.fitsTokens(100, later)).toBe(true);
      },
    ),
  );
});

test("each of several processes keeps to its part of a configured limit, in every minute", () => {
  const pacer = createPacer(
    { limits: { rpm: 120, tpm: null }, backoffMs: 500, longestBackoffMs: 60_000 },
    0,
  );
  const starts: number[] = [];
  const run = (from: number, to: number) => {
    for (let now = from; now < to; now += 50)
      while (pacer.room(now) >= 1) {
        const ticket = pacer.start(0, now);
        starts.push(now);
        pacer.end(ticket, { outcome: "answered", signals: null, usedTokens: null }, now);
      }
  };
  const inMinute = (end: number) => starts.filter((at) => at > end - 60_000 && at <= end).length;
  pacer.divide(2, 0);
  run(0, 180_000);
  for (let end = 0; end < 180_000; end += 500) expect(inMinute(end)).toBeLessThanOrEqual(60);
  expect(inMinute(179_000)).toBeGreaterThan(55);
  // The other one is gone.
  pacer.divide(1, 180_000);
  run(180_000, 300_000);
  expect(inMinute(299_000)).toBeGreaterThan(105);
  expect(inMinute(299_000)).toBeLessThanOrEqual(120);
});

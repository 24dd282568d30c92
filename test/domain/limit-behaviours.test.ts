import { expect, test } from "bun:test";

import { createSurprises } from "../../src/domain/surprises.ts";
import { BEHAVIOURS, UNANNOUNCED } from "../support/limit-behaviours.ts";
import { bucket, EPOCH_MS, runWorld, window } from "../support/limit-world.ts";

/** For each behaviour, the most time over the ideal, and the most refusals per call. */
const MOST: Record<string, [overIdeal: number, refused: number]> = {
  "OpenAI: buckets with headers": [1.05, 0.005],
  "Azure: -1 and 0 in the headers, ten-second windows": [1.25, 0.02],
  "Groq: headers of the day, a limit of seconds": [1.1, 0.02],
  "enqueued tokens": [1.1, 0.02],
  "a limit of calls at once": [1.1, 0.02],
  "minute windows that reset at once": [1.05, 0.005],
  "a sliding window": [1.4, 0.02],
  "Retry-After 0": [1.05, 0.02],
  "resets as epoch and float": [1.02, 0.005],
  "none at all": [1.15, 0],
  "limits of each key and of all": [1.1, 0.02],
  "a limit that shrinks": [1.1, 0.02],
};

test.each(BEHAVIOURS)("$name: nearly as fast as it allows, with few refusals", (behaviour) => {
  const [overIdeal, refused] = MOST[behaviour.name] ?? [0, 0];
  const run = runWorld(behaviour);
  expect(run.failed).toBe(0);
  expect(run.overIdeal).toBeLessThanOrEqual(overIdeal);
  expect(run.refused).toBeLessThanOrEqual(refused);
});

/** For some behaviours, the most refusals per call if a refusal takes 100 or 250 ms. */
const SLOWLY: [name: string, after100: number, after250: number][] = [
  ["Groq: headers of the day, a limit of seconds", 0.02, 0.02],
  ["limits of each key and of all", 0.025, 0.025],
  ["Retry-After 0", 0.035, 0.035],
  ["a limit that shrinks", 0.025, 0.06],
  ["a limit of calls at once", 0.042, 0.065],
];

test.each(SLOWLY)(
  "%s: few calls are sent before a slow refusal is known",
  (name, after100, after250) => {
    const behaviour = BEHAVIOURS.find((one) => one.name === name);
    if (!behaviour) throw new Error(`There is no behaviour ${name}`);
    for (const [refusalMs, most] of [
      [100, after100],
      [250, after250],
    ] as const) {
      const run = runWorld({ ...behaviour, refusalMs });
      expect(run.failed).toBe(0);
      expect(run.refused).toBeLessThanOrEqual(most);
    }
  },
);

test("limits that only refusals announce cost few calls, the more the slower a refusal is", () => {
  for (const [refusalMs, most] of [
    [20, 0.05],
    [100, 0.15],
    [250, 0.23],
  ] as const) {
    for (const behaviour of UNANNOUNCED) {
      const { failed, refused } = runWorld({ ...behaviour, refusalMs });
      expect([behaviour.name, failed, refused <= most]).toEqual([behaviour.name, 0, true]);
    }
  }
});

test("the rate is learned from what was sent, so answers of seconds do not delay it", () => {
  const run = runWorld({
    name: "slow answers",
    calls: 1000,
    concurrency: 256,
    idealMs: ((1000 - 20) / 20) * 1000,
    latencyMs: (n) => 1000 + ((n * 7919) % 4001),
    begin() {
      const real = bucket(20, 20);
      return ({ at }) =>
        real.take(at)
          ? { ok: true }
          : {
              ok: false,
              headers: { "retry-after": "1" },
              body: '{"error":{"message":"slow down"}}',
            };
    },
  });
  expect(run.failed).toBe(0);
  expect(run.refused).toBeLessThanOrEqual(0.01);
  expect(run.overIdeal).toBeLessThanOrEqual(1.15);
});

test("a few calls after the long wait of a window that slides teach no tiny rate", () => {
  const surprises = createSurprises();
  surprises.began(0);
  const first = { at: 3000, sentAt: 2990, sent: 601, refused: 1, waitMs: 57_000 };
  expect(surprises.add({ ...first, perMs: Infinity })).toMatchObject({ from: "guessed" });
  const second = { at: 60_100, sentAt: 60_090, sent: 610, refused: 2, waitMs: 1000 };
  const found = surprises.add({ ...second, perMs: 0.1 });
  // 608 calls got through in the first minute, and only eight since the first refusal.
  expect(found.from).toBe("measured");
  expect(found.perMs * 60_000).toBeGreaterThan(580);
  expect(found.perMs * 60_000).toBeLessThan(600);
});

test.each<[what: string, report: (resetMs: number, resetAt: number) => string]>([
  ["a fraction of seconds", (resetMs) => (resetMs / 1000).toFixed(2)],
  ["whole seconds", (resetMs) => String(Math.ceil(resetMs / 1000))],
  ["a Go duration", (resetMs) => `${(resetMs / 1000).toFixed(3)}s`],
  ["epoch seconds", (_, resetAt) => String(Math.ceil(resetAt / 1000))],
  ["epoch milliseconds", (_, resetAt) => String(Math.ceil(resetAt))],
])(
  "a window that reports its reset as %s is recognised although answers take from 0.1 to 5 seconds",
  (_what, report) => {
    const run = runWorld({
      name: "a slow window",
      calls: 2300,
      concurrency: 64,
      idealMs: 180_000 + 5000,
      latencyMs: (n) => 100 + ((n * 7919) % 4901),
      begin() {
        const minute = window(600, 60_000);
        return ({ at }) => {
          const ok = minute.take(at);
          const resetMs = minute.resetMs(at);
          const headers = {
            "x-ratelimit-limit-requests": "600",
            "x-ratelimit-remaining-requests": String(minute.left()),
            "x-ratelimit-reset-requests": report(resetMs, EPOCH_MS + at + resetMs),
          };
          return { ok, headers };
        };
      },
    });
    expect(run.failed).toBe(0);
    expect(run.refused).toBeLessThanOrEqual(0.005);
    expect(run.overIdeal).toBeLessThanOrEqual(1.12);
  },
);

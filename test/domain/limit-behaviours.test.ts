import { expect, test } from "bun:test";

import { BEHAVIOURS } from "../support/limit-behaviours.ts";
import { EPOCH_MS, runWorld, window } from "../support/limit-world.ts";

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

import { expect, test } from "bun:test";

import {
  type Attempt,
  createOrder,
  nextAttemptAt,
  RETRY_DELAYS_MS,
} from "../../src/domain/webhook.ts";

const FAILED: Attempt = {
  at: 1000,
  isDelivered: false,
  isGone: false,
  status: 500,
  latencyMs: 0,
  error: "status 500",
  cause: null,
  snippet: null,
  retryAfterMs: null,
};

test("a delivery is retried after the documented times, a tenth more or less, and then no more", () => {
  const waits = Array.from({ length: 10 }, (_, i) => nextAttemptAt(i + 1, FAILED, 1000, 0.5));
  const expected = RETRY_DELAYS_MS.map((delay) => 1000 + delay);
  expect(waits).toEqual([...expected, undefined]);
  expect(nextAttemptAt(1, FAILED, 1000, 0)).toBe(1000 + 4500);
  expect(nextAttemptAt(1, FAILED, 1000, 1)).toBe(1000 + 5500);
});

test("it obeys Retry-After, up to a day, and is not retried after 410", () => {
  expect(nextAttemptAt(1, { ...FAILED, retryAfterMs: 60_000 }, 1000, 0.5)).toBe(61_000);
  expect(nextAttemptAt(2, { ...FAILED, retryAfterMs: 60_000 }, 1000, 0.5)).toBe(301_000);
  expect(nextAttemptAt(1, { ...FAILED, retryAfterMs: 1e12 }, 1000, 0.5)).toBe(1000 + 86_400_000);
  expect(nextAttemptAt(1, { ...FAILED, isGone: true }, 1000, 0.5)).toBeUndefined();
});

test("deliveries about the same thing start in order, others at the same time", () => {
  const starts = (topics: [string | null, string | null][]) => {
    const order = createOrder();
    return topics.map(([task, batch]) => order.take({ task, batch }));
  };
  expect(
    starts([
      ["a", null],
      ["b", null],
      ["a", null],
    ]),
  ).toEqual([true, true, false]);
  expect(
    starts([
      ["a", "x"],
      ["b", "x"],
      [null, "x"],
      ["c", "x"],
      ["d", "y"],
    ]),
  ).toEqual([true, true, false, false, true]);
  expect(
    starts([
      [null, "x"],
      ["a", "x"],
      [null, "y"],
    ]),
  ).toEqual([true, false, true]);
  expect(
    starts([
      [null, null],
      [null, null],
      ["a", null],
    ]),
  ).toEqual([true, false, true]);
});

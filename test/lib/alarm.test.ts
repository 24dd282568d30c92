import { expect, test } from "bun:test";

import { createAlarm } from "../../src/lib/alarm.ts";
import { createSystemClock } from "../../src/lib/clock.ts";

test("an alarm set for next month does not ring at once", async () => {
  let rings = 0;
  const alarm = createAlarm(() => rings++, createSystemClock());
  alarm.noLaterThan(Date.now() + 30 * 86_400_000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(rings).toBe(0);
  alarm.clear();
});

test("an alarm rings at the earliest of its times, once", async () => {
  const rings: number[] = [];
  const begun = Date.now();
  const { promise, resolve } = Promise.withResolvers<void>();
  const alarm = createAlarm(() => {
    rings.push(Date.now() - begun);
    resolve();
  }, createSystemClock());
  alarm.noLaterThan(begun + 60_000);
  alarm.noLaterThan(begun + 10);
  alarm.noLaterThan(begun + 30_000);
  await promise;
  expect(rings).toHaveLength(1);
  expect(rings[0]).toBeLessThan(30_000);
  alarm.set(Infinity);
});

import { expect, test } from "bun:test";

import { estimateCompletion } from "../../src/domain/outlook.ts";

const running = {
  status: "running",
  total: 1000,
  cancelled: 0,
  running: 0,
  truncated: 0,
  cached: 0,
  repaired: 0,
  skipped: 0,
};

test("the forecast of a restarted batch uses only the work since then", () => {
  const again = { ...running, completed: 910, failed: 0, startedAt: 0, endedBefore: 900 };
  // Ten in ten seconds, ninety to go.
  expect(estimateCompletion(again, null, 10_000)).toBe(100_000);
  expect(estimateCompletion({ ...again, completed: 900 }, null, 10_000)).toBeNull();
});

test("there is no forecast before a task has ended, or for a batch that does not run", () => {
  const first = { ...running, completed: 0, failed: 0, startedAt: 0, endedBefore: 0 };
  expect(estimateCompletion(first, null, 1000)).toBeNull();
  expect(estimateCompletion({ ...first, completed: 5, status: "paused" }, null, 1000)).toBeNull();
});

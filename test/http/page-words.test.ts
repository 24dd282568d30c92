import { expect, test } from "bun:test";

import type { LiveBatch } from "../../src/http/monitor/app/api/wire.ts";
import { whyNot } from "../../src/http/monitor/app/batches/why.ts";

const NOW = Date.parse("2026-11-28T12:00:00Z");
const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();

const PROGRESS = { total: 10, completed: 0, failed: 0, cancelled: 0, pending: 10, running: 0 };
const batch = (given: Partial<LiveBatch>, progress: Partial<typeof PROGRESS> = {}): LiveBatch => ({
  name: "b",
  status: "running",
  isDryRun: false,
  perMinute: 0,
  createdAt: at(-60),
  ...given,
  progress: { ...PROGRESS, ...progress },
});

const limit = (until: string) => batch({ waiting: { reason: "rate_limit", until } });

test.each([
  ["Created 60 s ago, not started", batch({ status: "pending" })],
  [
    "5 rows were tried; the others have not started",
    batch({ status: "pending" }, { completed: 4, failed: 1, pending: 5 }),
  ],
  ["Waiting for a to end, then starts", batch({ inputBatch: "a", startsWithItsRows: true })],
  ["Its remaining rows are being cancelled", batch({ status: "cancelled" }, { running: 3 })],
  ["Ended 5 s ago", batch({ status: "cancelled", completedAt: at(-5) })],
  ["Dry run. Ended 5 s ago", batch({ status: "failed", completedAt: at(-5), isDryRun: true })],
  ["Waiting for the provider's limit, next call in 9 s", limit(at(9))],
  // The time of the next call has passed since the last state.
  ["Waiting for the provider's limit", limit(at(-9))],
  ["Waiting for the provider to recover", batch({ waiting: { reason: "provider_unavailable" } })],
  ["Waiting for its turn, its provider's limit, or a retry", batch({})],
  ["", batch({}, { running: 1 })],
])("a batch that makes no progress says why: %p", (words, given) => {
  expect(whyNot(given, NOW)).toBe(words);
});

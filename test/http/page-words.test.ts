import { expect, test } from "bun:test";

import type { LiveBatch } from "../../src/http/monitor/app/api/wire.ts";
import { whyNot } from "../../src/http/monitor/app/batches/why.ts";
import { count, exactly, exactTime, money, time } from "../../src/http/monitor/app/ui/format.ts";

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

/* The page does not use `Intl` for its first frame, because the first formatter takes a page 30 ms. */
test("numbers and times are formatted as Intl does in English", () => {
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const cents = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
  for (const n of [0, 7, 999, 1000, 12_345.6, 999_999.4]) expect(count(n)).toBe(whole.format(n));
  for (const n of [1e6, 1.26e6, 99.94e6, 999_949_999, 999_950_000, 1.5e9, 999.95e9, 2e12])
    expect(count(n)).toBe(short.format(n));
  for (const n of [0, 123, 1_234_567, 12_345_678_901]) expect(exactly(n)).toBe(whole.format(n));
  for (const usd of [0.01, 0.126, 1, 999.99, 1234.5, 1_234_567.891])
    expect(money(usd)).toBe(cents.format(usd));
  const exact = new Intl.DateTimeFormat("en", {
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    fractionalSecondDigits: 3,
    hourCycle: "h23",
  });
  for (let at = Date.UTC(2026, 0, 1, 0, 4, 5, 6); at < Date.UTC(2027, 0); at += 86_400_000 * 9.3) {
    const iso = new Date(at).toISOString();
    expect(exactTime(iso)).toBe(exact.format(at));
    expect(exactTime(iso)).toStartWith(`${time(iso)}.`);
  }
});

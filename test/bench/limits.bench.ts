import { createRateWindow } from "../../src/lib/rate-window.ts";
import { printTable, round } from "./support.ts";

const TIMES = 2_000_000;

/** The cost of the rate limit per request: the count, and the headers in the answer. */
export async function benchLimits(): Promise<void> {
  const window = createRateWindow(Date.now);
  const nanoseconds = (run: (i: number) => unknown) => {
    for (let i = 0; i < TIMES / 10; i++) run(i);
    const start = performance.now();
    for (let i = 0; i < TIMES; i++) run(i);
    return round(((performance.now() - start) / TIMES) * 1e6);
  };
  const headers = new Headers();
  printTable("The cost of the rate limit per request", [
    { what: "reading the clock (baseline)", ns: nanoseconds(() => Date.now()) },
    { what: "count one of 1,000 keys", ns: nanoseconds((i) => window.take(i % 1000, 1e9)) },
    {
      what: "tell it in three headers",
      ns: nanoseconds((i) => {
        headers.set("X-RateLimit-Limit", "100");
        headers.set("X-RateLimit-Remaining", String(i % 100));
        headers.set("X-RateLimit-Reset", "1893499260");
      }),
    },
  ]);
}

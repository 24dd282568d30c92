import { expect, test } from "bun:test";

import { background } from "../../src/lib/background.ts";

test("work that nobody waits for is logged when it fails, and held until it has ended", async () => {
  const lines: unknown[] = [];
  const log = { error: (...line: unknown[]) => lines.push(line) } as unknown as Parameters<
    typeof background
  >[0];
  const underWay = new Set<Promise<void>>();
  const gate = Promise.withResolvers<void>();
  const error = new Error("no");
  background(log, "The first", gate.promise, underWay);
  background(log, "The second", Promise.reject(error), underWay);
  expect(underWay.size).toBe(2);
  gate.resolve();
  await Promise.all(underWay);
  expect(underWay.size).toBe(0);
  expect(lines).toEqual([["{name} failed: {error}", { name: "The second", error }]]);
});

import { expect, test } from "bun:test";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { background } from "../../src/lib/background.ts";
import { temporaryFolder } from "../support/process.ts";

test("background work is logged when it fails, and waited for at the stop", async () => {
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

test("work that the end of the process interrupts is logged as a detail", async () => {
  using folder = temporaryFolder();
  const database = createLocalClient(join(folder.path, "x.db"), 100);
  database.close();
  const lines: string[] = [];
  const log = {
    error: () => lines.push("error"),
    debug: () => lines.push("debug"),
  } as unknown as Parameters<typeof background>[0];
  const underWay = new Set<Promise<void>>();
  background(log, "A read", database.execute("SELECT 1"), underWay);
  background(log, "A write", database.batch(["SELECT 1"], "write"), underWay);
  await Promise.all(underWay);
  expect(lines).toEqual(["debug", "debug"]);
});

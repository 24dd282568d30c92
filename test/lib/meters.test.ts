import { expect, test } from "bun:test";

import { createMeters, label } from "../../src/lib/meters.ts";

test("names from clients are counted separately up to a limit, and as other beyond it", () => {
  const meters = createMeters({ calls: { kind: "counter", help: "Calls" } }, "", [], "model");
  const labels = (i: number) => `code="200",${label("model", `m"\\${i}`)}`;
  for (let i = 0; i < 5000; i++) meters.add("calls", labels(i));
  meters.add("calls", labels(7));
  const lines = meters.render().trim().split("\n").slice(2);
  expect(lines).toHaveLength(301);
  expect(lines).toContain('calls{code="200",model="m\\"\\\\7"} 2');
  expect(lines.at(-1)).toBe('calls{code="200",model="other"} 4700');
});

import { expect, test } from "bun:test";

import fc from "fast-check";

import { canonicalHash } from "../../src/lib/canonical-hash.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { sha256Hex } from "../../src/lib/hash.ts";
import { canonicalJson, isJsonObject } from "../../src/lib/json.ts";
import { turnsDuring } from "../support/turns.ts";

const clock = createSystemClock();

const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium" },
    fc.oneof(fc.string(), fc.double(), fc.constantFrom(null, true, undefined, -0)),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom("9", "10", "01", "4294967294", "4294967295", "b", "a")),
      tie("value"),
      { maxKeys: 4 },
    ),
  ),
}));

/** What stored hashes were made of: JSON whose objects are sorted one by one. */
function slowJson(whole: unknown): string {
  return JSON.stringify(whole, (_key, item: unknown) =>
    isJsonObject(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

test("the hash of a value is that of its canonical JSON, whose text stays the same", async () => {
  await fc.assert(
    fc.asyncProperty(value, async (one) => {
      expect(canonicalJson(one)).toBe(slowJson(one));
      expect(await canonicalHash(clock, ["kind", one])).toBe(sha256Hex(slowJson(["kind", one])));
    }),
    { numRuns: 1000 },
  );
});

test("hashing 50,000 rows lets other work have its turn", async () => {
  const tasks = Array.from({ length: 50_000 }, (_, i) => ({
    prompt: `p${i}`,
    metadata: { b: i, a: [i] },
  }));
  const { result: hash, turns } = await turnsDuring((slow) =>
    canonicalHash(slow, ["batch", { tasks, id: "b" }]),
  );
  expect(turns).toBeGreaterThan(1000);
  expect(hash).toBe(sha256Hex(canonicalJson(["batch", { id: "b", tasks }])));
});

import { expect, test } from "bun:test";

import { joinTexts, splitTexts } from "../../src/lib/joined-texts.ts";

test("values survive a message, and the given lists are left as they are", () => {
  const lists = [
    ["", "a", null, 7, "東京 🚀", "", true],
    [],
    [new Uint8Array([1, 2]), 9_007_199_254_740_993n, "x".repeat(100_000), 0.1],
  ];
  const before = structuredClone(lists);
  expect(splitTexts(structuredClone(joinTexts(lists)))).toEqual(before);
  expect(lists).toEqual(before);
});

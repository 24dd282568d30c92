import { expect, test } from "bun:test";

import { BoundedMap } from "../../src/lib/bounded-map.ts";

test("a bounded map forgets its oldest entry for a new one, and nothing for a known one", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1).set("b", 2).set("b", 3);
  expect([...map]).toEqual([
    ["a", 1],
    ["b", 3],
  ]);
  map.set("c", 4);
  expect([...map]).toEqual([
    ["b", 3],
    ["c", 4],
  ]);
});

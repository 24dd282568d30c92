import { expect, test } from "bun:test";

import { parseJson } from "../../src/lib/json.ts";

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

test("values nested too deep to be written again are not parsed, however deep", () => {
  expect(parseJson(nested(200))).toBeDefined();
  for (const levels of [201, 1_000_000]) expect(parseJson(nested(levels))).toBeUndefined();
  expect(parseJson(`${'{"a":'.repeat(201)}1${"}".repeat(201)}`)).toBeUndefined();
});

test("brackets in texts, and levels that have ended, do not count", () => {
  const text = JSON.stringify([
    nested(500),
    `"\\${nested(500)}`,
    ...Array.from({ length: 500 }, () => [{}]),
  ]);
  expect(parseJson(text)).toEqual(JSON.parse(text));
});

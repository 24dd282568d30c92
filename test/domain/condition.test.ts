import { expect, test } from "bun:test";

import fc from "fast-check";

import { ConditionError, parseCondition } from "../../src/domain/condition.ts";

const VALUES = new Map([
  ["a", "spam and eggs"],
  ["n", "5.0"],
  ["big", "9007199254740993"],
  ["word", "n/a"],
  ["none", ""],
  ["yes", "TRUE "],
]);

test.each([
  ["{{a}} contains 'eggs'", true],
  ["not {{a}} contains 'eggs'", false],
  ["{{n}} == 5", true],
  ["{{n}} == '5'", false],
  ["{{n}} < 10 and {{n}} > 4.5", true],
  ["'5.0' < '10'", false],
  ["{{big}} == 9007199254740992", false],
  ["{{word}} > 1 or {{word}} <= 1 or {{word}} == 1", false],
  ["{{word}} != 1", true],
  ["{{none}} == '' AND ({{a}} == 'x' or {{a}} != \"it's\")", true],
  ["{{a}} == 'x' and {{a}} == 'y' or {{n}} == 5", true],
  ["{{yes}} == true and not {{yes}} == false and false != {{yes}}", true],
  ["{{yes}} == 'true'", false],
  ["'it\\'s' == \"it's\"", true],
])("%s is %p", (text, expected) => {
  expect(parseCondition(text).isTrueOf(VALUES)).toBe(expected);
});

test("any text is a condition or is refused with a position in it", () => {
  const parts = [
    "{{a}}",
    "'x'",
    "1",
    "==",
    "contains",
    "true",
    "and",
    "not",
    "(",
    ")",
    "'",
    "{",
    "<",
    "é",
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 30 }), (words) => {
      const text = words.join(" ");
      try {
        expect(typeof parseCondition(text).isTrueOf(VALUES)).toBe("boolean");
      } catch (error) {
        if (!(error instanceof ConditionError)) throw error;
        expect(error.at).toBeGreaterThan(0);
        expect(error.at).toBeLessThanOrEqual(text.length + 1);
      }
    }),
  );
});

test("depth and length are limited", () => {
  expect(() => parseCondition(`${"(".repeat(100)}1 == 1${")".repeat(100)}`)).toThrow("within each");
  expect(() => parseCondition(`1 == 1${" ".repeat(2000)}`)).toThrow("is the most");
});

import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import { createSystemClock } from "../../src/lib/clock.ts";
import { checkInTurns, takesLong } from "../../src/lib/json-in-turns.ts";
import { checkJson } from "../../src/lib/json-limits.ts";
import { turnsDuring } from "../support/turns.ts";

const clock = createSystemClock();
const WITHIN = new Set(["metadata"]);

const name = fc.oneof(
  fc.constantFrom("a", "metadata", "", "0", "é", '"', "\\", "__proto__"),
  fc.string(),
);
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom("1.0", "-0", "12345678901234567890", "1e400", "0.10", "1E5"),
);
/** JSON texts, of which a few have an object with a name twice, which no value has. */
const { json } = fc.letrec<{ json: string }>((tie) => ({
  json: fc.oneof(
    { depthSize: "small" },
    fc.oneof(
      number,
      fc.constantFrom("true", "false", "null"),
      fc.string().map((text) => JSON.stringify(text)),
      fc.constant('"\\ud800"'),
      fc.constant('"\\u0041\\n"'),
    ),
    fc.array(tie("json"), { maxLength: 5 }).map((items) => `[${items.join(" ,")}]`),
    fc
      .array(fc.tuple(name, tie("json")), { maxLength: 5 })
      .map(
        (members) =>
          `{${members.map(([key, value]) => `${JSON.stringify(key)}:\n${value}`).join(",")} }`,
      ),
  ),
}));

describe("a text that is parsed in turns", () => {
  test("has the same value as one that is parsed at once, or is refused as well", async () => {
    await fc.assert(
      fc.asyncProperty(json, fc.constantFrom(undefined, WITHIN), async (text, within) => {
        const [inTurns, atOnce] = [
          await checkInTurns(clock, text, within),
          checkJson(text, within),
        ];
        if ("value" in atOnce) expect(JSON.stringify(inTurns)).toBe(JSON.stringify(atOnce));
        else expect(Object.keys(inTurns)).toEqual(Object.keys(atOnce));
      }),
      { numRuns: 1000 },
    );
  });

  test("is refused if it is not JSON", async () => {
    await fc.assert(
      fc.asyncProperty(
        json,
        fc.nat(),
        fc.constantFrom("", "x", ",", "]", "}", '"', "\\", "0", ".", ":", "\u0001", "\u00a0"),
        async (text, at, put) => {
          const index = at % (text.length + 1);
          const damaged = text.slice(0, index) + put + text.slice(index + 1);
          const [inTurns, atOnce] = [await checkInTurns(clock, damaged), checkJson(damaged)];
          if ("value" in atOnce) expect(JSON.stringify(inTurns)).toBe(JSON.stringify(atOnce));
          // It may find a fault before the place where the text is no JSON.
          else expect(inTurns).not.toHaveProperty("value");
        },
      ),
      { numRuns: 1500 },
    );
  });

  test.each([
    ['{"a": 01}', 'Unexpected "1" at character 8'],
    ["[1,]", 'Unexpected "]" at character 4'],
    ['{"a":1', "Unexpected end at character 7"],
    ['["a', "in the text at character 2"],
    ["[1] 2", 'Unexpected "2" at character 5'],
    ["", "Unexpected end at character 1"],
  ])("and %s says where it is no JSON", async (text, why) => {
    expect(await checkInTurns(clock, text)).toEqual({ notJson: expect.stringContaining(why) });
  });

  test.each([
    [`${"[".repeat(101)}1${"]".repeat(101)}`, "", "nested more than 100 levels"],
    [`[${"0,".repeat(100_000)}0]`, "", "more than 100000 items"],
    [
      `{${Array.from({ length: 10_001 }, (_, i) => `"${i}":0`).join()}}`,
      "",
      "more than 10000 fields",
    ],
    ['{"a":[0,{"b":{"c":1,"c":2}}]}', "a.1.b.c", "more than once"],
  ])("is within the limits: %#", async (text, path, message) => {
    const fault = { path, message: expect.stringContaining(message) };
    expect(checkJson(text)).toEqual({ fault });
    expect(await checkInTurns(clock, text)).toEqual({ fault });
  });

  test("is one with many values, not one with a long text", () => {
    expect(takesLong(`{"prompt":${JSON.stringify('"a", [b]'.repeat(300_000))}}`)).toBe(false);
    expect(takesLong(`[${"[],".repeat(2000)}[]]`)).toBe(false);
    expect(takesLong(`[${"[],".repeat(30_000)}[]]`)).toBe(true);
    expect(takesLong(`{${Array.from({ length: 9000 }, (_, i) => `"n${i}":1`).join()}}`)).toBe(true);
  });

  test("lets other work have its turn", async () => {
    const text = `[${Array.from({ length: 40 }, () => `[${"[],".repeat(20_000)}[]]`).join()}]`;
    const { result: checked, turns } = await turnsDuring((slow) => checkInTurns(slow, text));
    expect(checked).toHaveProperty("value.39.20000", []);
    expect(turns).toBeGreaterThan(20);
  });
});

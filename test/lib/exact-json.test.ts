import { expect, test } from "bun:test";

import fc from "fast-check";

import { parseExact } from "../../src/lib/exact-json.ts";

const digits = fc.stringMatching(/^\d{1,24}$/);
const number = fc
  .tuple(
    fc.constantFrom("", "-"),
    fc.oneof(fc.constant("0"), fc.stringMatching(/^[1-9]\d{0,24}$/)),
    fc.oneof(
      fc.constant(""),
      digits.map((text) => `.${text}`),
      fc.stringMatching(/^\.0{1,8}\d{1,3}$/),
    ),
    fc.oneof({ weight: 3, arbitrary: fc.constant("") }, fc.stringMatching(/^[eE][+-]?\d{1,3}$/)),
  )
  .map((parts) => parts.join(""));

test("every number is written exactly as it was read", () => {
  fc.assert(
    fc.property(number, fc.constantFrom("", " ", "\n\t"), (text, blank) => {
      for (const json of [text, `[${text}]`, `{"a":[1,${text}]}`, `{"a":${text},"b":0}`]) {
        const spaced = json.replace(text, `${blank}${text}${blank}`);
        expect(JSON.stringify(parseExact(spaced))).toBe(json);
      }
    }),
    {
      numRuns: 3000,
      examples: [
        ["9999999999.999999", ""],
        ["0.0000001", ""],
        ["-0", "\n\t"],
      ],
    },
  );
});

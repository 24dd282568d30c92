import { expect, test } from "bun:test";

import { findRepeated } from "../../src/lib/json-repeats.ts";

test.each([
  ['{"a":1,"a":1}', "a"],
  ['{"a":1,"\\u0061":2}', "a"],
  ['{"a" : 1 ,\n"b":{"x":"}"},"a":2}', "a"],
  ['[{"m":{"a":1}},{"m":{"a":["1,2",{"b":1,"b":2}]}}]', "1.m.a.1.b"],
  ['{"":1,"":2}', '""'],
  ['{"\\\\":1,"\\\\":2}', "\\"],
  ['{"a":{"x":1},"b":2,"a":3}', "a"],
  ['{"__proto__":1,"__proto__":2}', "__proto__"],
])("of %s is found where it stands", (text, path) => {
  expect(findRepeated(text)).toBe(path);
});

test.each([
  '{"a":"b","b":"a","c":"\\"a\\":"}',
  '{"a":{"a":{"a":[{"a":1},{"a":1}]}}}',
  '["a","a",{"a":"a"}]',
  '{"a":"\\\\","b":"\\\\"}',
  '{"a":1,"A":2,"a ":3}',
  '"a"',
  "1",
])("there is none in %s", (text) => {
  expect(findRepeated(text)).toBeUndefined();
});

test("a text of any depth is read, and long names are cut in reports", () => {
  const deep = 200_000;
  expect(findRepeated('{"a":'.repeat(deep) + "1" + "}".repeat(deep))).toBeUndefined();
  expect(findRepeated(`{"${"n".repeat(9999)}":1,"${"n".repeat(9999)}":1}`)?.length).toBe(201);
});

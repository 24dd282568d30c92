import { expect, test } from "bun:test";

import { createAnswerCheck } from "../../src/domain/answer-check.ts";
import { responseFormatOf } from "../../src/domain/output.ts";
import { compileSchema } from "../../src/lib/json-schema.ts";
import type { JsonObject } from "../../src/lib/json.ts";

const AGE = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const NONE = { type: "none" };

/** A check of answers, and the schemas that it has compiled. */
function countingCheck() {
  const compiled: JsonObject[] = [];
  const check = createAnswerCheck((schema) => {
    compiled.push(schema);
    return compileSchema(schema);
  });
  let id = 0;
  return {
    compiled,
    answer: (prompt: string, schema: JsonObject, text: string) =>
      check({
        id: ++id,
        body: JSON.stringify({ prompt, response_format: responseFormatOf(schema) }),
        text,
      }).mismatch,
    schema: (schema: JsonObject) => check({ id: ++id, schema }).mismatch,
  };
}

test("a schema is compiled once, for all answers of all batches that have it", () => {
  const { compiled, answer, schema } = countingCheck();
  expect(schema(AGE)).toBeNull();
  for (let i = 0; i < 50; i++) {
    expect(answer(`row ${i}`, AGE, `{"age":${i}}`)).toBeNull();
    expect(answer(`row ${i}`, CITY, '{"city":"Oslo"}')).toBeNull();
  }
  expect(answer("other", AGE, '{"age":"old"}')).toMatchObject({ mayRepair: true });
  expect(compiled).toEqual([AGE, CITY]);
});

test("a schema that is refused is not compiled again either", () => {
  const { compiled, answer, schema } = countingCheck();
  const refused = schema(NONE);
  expect(refused).toMatchObject({ mayRepair: false });
  for (let i = 0; i < 3; i++) expect(answer("x", NONE, "{}")).toEqual(refused);
  expect(compiled).toHaveLength(1);
});

test("only the schemas that were used last are remembered", () => {
  const { compiled, schema } = countingCheck();
  const other = (i: number) => ({ ...AGE, title: `schema ${i}` });
  schema(AGE);
  for (let i = 0; i < 99; i++) schema(other(i));
  schema(AGE);
  expect(compiled).toHaveLength(100);
  schema(other(99));
  schema(AGE);
  expect(compiled).toHaveLength(101);
  schema(other(0));
  expect(compiled).toHaveLength(102);
});

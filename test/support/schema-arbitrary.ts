import fc from "fast-check";

import type { Json } from "./server.ts";

/** Values that mostly match a JSON schema of the OpenAPI document. */
export function valuesOf(schema: Json, document: Json, depth = 0): fc.Arbitrary<unknown> {
  if (schema === undefined || schema === true || depth > 6) return fc.jsonValue({ maxDepth: 2 });
  if (schema.$ref !== undefined) {
    const name = String(schema.$ref).split("/").at(-1) ?? "";
    return valuesOf(document.components.schemas[name], document, depth + 1);
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...(schema.enum as unknown[]));
  const some = schema.anyOf ?? schema.oneOf;
  if (some !== undefined)
    return fc.oneof(...some.map((one: Json) => valuesOf(one, document, depth + 1)));
  if (Array.isArray(schema.type))
    return fc.oneof(
      ...schema.type.map((type: string) => valuesOf({ ...schema, type }, document, depth + 1)),
    );
  return ofType(schema, document, depth);
}

function ofType(schema: Json, document: Json, depth: number): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "string":
      return textsOf(schema);
    case "integer":
    case "number":
      return numbersOf(schema);
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(valuesOf(schema.items, document, depth + 1), {
        minLength: Math.min(schema.minItems ?? 0, 2),
        maxLength: Math.min(schema.maxItems ?? 3, 3),
      });
    case "object":
      return objectsOf(schema, document, depth);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function textsOf({ pattern, format, minLength = 0, maxLength = 40 }: Json): fc.Arbitrary<string> {
  const times = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) });
  if (format === "date-time") return times.map((at) => at.toISOString());
  if (format === "date") return times.map((at) => at.toISOString().slice(0, 10));
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.string({ minLength, maxLength: Math.min(maxLength, 40), unit: "grapheme" });
}

function numbersOf(schema: Json): fc.Arbitrary<number> {
  const min = schema.minimum ?? schema.exclusiveMinimum ?? -1000;
  const max = schema.maximum ?? schema.exclusiveMaximum ?? Math.max(min, 1000);
  return schema.type === "integer"
    ? fc.integer({ min: Math.ceil(min), max: Math.min(Math.floor(max), 2 ** 31 - 1) })
    : fc.double({ min, max, noNaN: true });
}

function objectsOf(schema: Json, document: Json, depth: number): fc.Arbitrary<unknown> {
  const known = Object.entries<Json>(schema.properties ?? {}).map(([name, property]) => [
    name,
    // No invented model exists.
    name === "model"
      ? fc.constantFrom("gpt-4o-mini", "gpt-4")
      : valuesOf(property, document, depth + 1),
  ]);
  const properties: Record<string, fc.Arbitrary<unknown>> = Object.fromEntries(known);
  const required = (schema.required ?? []) as string[];
  const record = fc.record(properties, { requiredKeys: required });
  const isOpen = typeof schema.additionalProperties === "object" && known.length === 0;
  return isOpen
    ? fc.dictionary(fc.string({ maxLength: 10 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
    : record;
}

/** A value with one error: a field that is missing, replaced or unknown. */
export function spoiled(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(values, fc.nat(), fc.constantFrom("drop", "replace", "add"), fc.jsonValue())
    .map(([value, which, how, junk]) => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return junk;
      const names = Object.keys(value);
      const name = names[which % Math.max(names.length, 1)] ?? "x";
      const fields = Object.entries(value).filter(([key]) => how === "add" || key !== name);
      if (how !== "drop") fields.push([how === "add" ? `x${which}` : name, junk]);
      return Object.fromEntries(fields);
    });
}

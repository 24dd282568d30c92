import { z } from "zod";

import { numberOf } from "./exact-json.ts";

/*
 * What a value is to be, in words. The words are made from the JSON Schema that zod gives of its own, because that says
 * all that a schema demands in one place.
 */

type Schema = z.core.$ZodType;
type JsonSchema = z.core.JSONSchema.BaseSchema;

const EXAMPLE_TIME = "2026-01-31T09:00:00Z";

/** The formats of texts that a schema can demand by name, in words. */
const FORMATS: Record<string, string> = {
  "date-time": `a time such as ${EXAMPLE_TIME}`,
  date: "a date such as 2026-01-31",
  uri: "a URL such as https://example.com",
};

/** What a value is to be: `a whole number from 1 to 100`, `one of low, high`, `a list of texts`. */
export const formOf = (schema: Schema): string => formIn(describe(schema));

/** What values of a schema can be, in the words of `kindOf`. */
export const kindsOf = (schema: Schema): string[] => kindsIn(describe(schema));

/** The names that a schema takes in place of other texts. */
export const namesOf = (schema: Schema): readonly unknown[] | undefined =>
  namesIn(describe(schema));

/** How many characters or items: `1 to 200 characters`. Empty without limits. */
export const amountOf = (schema: Schema): string => amountIn(describe(schema));

/** What a value is, without its content: values can be secrets, or long. */
export function kindOf(value: unknown): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return "a text";
  if (Array.isArray(value)) return "a list";
  return numberOf(value) === undefined ? "an object" : "a number";
}

export function oneOf(values: readonly unknown[]): string {
  const names = values.map(String);
  return names.length === 1 ? names.join() : `one of ${names.join(", ")}`;
}

export function shown(count: number): string {
  return count.toLocaleString("en-US", { maximumFractionDigits: 10 });
}

/** Files have many wrong rows of the same schema. */
const described = new WeakMap<Schema, JsonSchema>();

function describe(schema: Schema): JsonSchema {
  const known = described.get(schema);
  if (known) return known;
  const made = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  described.set(schema, made);
  return made;
}

function formIn(schema: JsonSchema): string {
  const names = namesIn(schema);
  if (schema.anyOf) return [...new Set(partsOf(schema.anyOf).map(formIn))].join(" or ");
  if (names) return oneOf(names);
  switch (schema.type) {
    case "string":
      return FORMATS[schema.format ?? ""] ?? `a text${of(amountIn(schema))}`;
    case "integer":
    case "number":
      return numberForm(schema);
    case "boolean":
      return "true or false";
    case "array":
      return listForm(schema);
    case "object":
      return "an object";
    case "null":
      return "null";
    default:
      return "another value";
  }
}

function kindsIn(schema: JsonSchema): string[] {
  if (schema.anyOf) return partsOf(schema.anyOf).flatMap(kindsIn);
  const names = namesIn(schema);
  if (names) return names.map(kindOf);
  switch (schema.type) {
    case "string":
      return ["a text"];
    case "integer":
    case "number":
      return ["a number"];
    case "boolean":
      return ["true", "false"];
    case "array":
      return ["a list"];
    case "object":
      return ["an object"];
    default:
      return ["null"];
  }
}

function namesIn(schema: JsonSchema): readonly unknown[] | undefined {
  if (schema.enum) return schema.enum;
  if (schema.const !== undefined) return [schema.const];
  return partsOf(schema.anyOf)
    .map(namesIn)
    .find((names) => names !== undefined);
}

function amountIn(schema: JsonSchema): string {
  const isList = schema.type === "array";
  const least = isList ? schema.minItems : schema.minLength;
  const most = isList ? schema.maxItems : schema.maxLength;
  const unit = isList ? unitOf(schema) : "character";
  const units = (count: number) => `${shown(count)} ${unit}${count === 1 ? "" : "s"}`;
  if (least && least === most) return units(least);
  if (least && most !== undefined) return `${shown(least)} to ${units(most)}`;
  if (least) return `at least ${units(least)}`;
  return most === undefined ? "" : `at most ${units(most)}`;
}

function unitOf({ items }: JsonSchema): string {
  const item = itemOf(items);
  if (item?.type === "string") return "text";
  return item?.type === "object" ? "object" : "item";
}

function listForm(schema: JsonSchema): string {
  const item = itemOf(schema.items);
  const names = item && namesIn(item);
  if (names) return `a list with one or more of ${names.join(", ")}`;
  return `a list${of(amountIn(schema) || `${unitOf(schema)}s`)}`;
}

function numberForm({ type, minimum, maximum, exclusiveMinimum }: JsonSchema): string {
  const isWhole = type === "integer";
  const number = isWhole ? "a whole number" : "a number";
  // The type of these keywords also allows their form in old versions of JSON Schema, a boolean.
  const above = typeof exclusiveMinimum === "number" ? exclusiveMinimum : undefined;
  const least = isWhole && above !== undefined ? above + 1 : limit(minimum);
  const most = limit(maximum);
  if (least !== undefined && most !== undefined)
    return `${number} from ${shown(least)} to ${shown(most)}`;
  const upper = most === undefined ? "" : `, at most ${shown(most)}`;
  if (least !== undefined) return `${number} of ${shown(least)} or more${upper}`;
  return `${number}${above === undefined ? "" : ` above ${shown(above)}`}${upper}`;
}

/** A whole number is always one that a double represents exactly, which is no limit that a person meets. */
function limit(given: number | undefined): number | undefined {
  return given !== undefined && Math.abs(given) >= Number.MAX_SAFE_INTEGER ? undefined : given;
}

function of(amount: string): string {
  return amount === "" ? "" : ` of ${amount}`;
}

/** The schema of all items of a list. */
function itemOf(items: JsonSchema["items"]): JsonSchema | undefined {
  return typeof items === "object" && !Array.isArray(items) ? items : undefined;
}

/** `true` and `false` can stand for schemas, and demand nothing. */
function partsOf(schemas: readonly (JsonSchema | boolean)[] | undefined): JsonSchema[] {
  return (schemas ?? []).filter((schema) => typeof schema !== "boolean");
}

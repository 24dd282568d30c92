import { z } from "zod";

import { asJsonObject, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { ModelName, textOf } from "./text.ts";

/*
 * The object that an answer is to be: names of texts, or a JSON Schema. It goes to the provider as the
 * `response_format` of the request, so that it is a part of what makes requests identical; where a provider
 * does not take it, it is asked for in other words (`providers/structured.ts`). Whatever comes back is
 * checked. A task whose answer is checked says how often it may be repaired, and others do not.
 */

const MOST_NAMES = 100;
/** Each stored request of a batch contains the schema. */
const MOST_SCHEMA_CHARACTERS = 100_000;
/** The most result columns for one schema. */
const MOST_COLUMNS = 1000;

const Names = z
  .array(textOf({ least: 1, most: 100 }))
  .min(1)
  .max(MOST_NAMES)
  .refine((names) => new Set(names).size === names.length, "must not name anything twice")
  .refine((names) => !names.includes("__proto__"), "must not name anything __proto__");

const Schema = z
  .record(z.string(), z.unknown())
  .superRefine((schema, check) => {
    const problem = problemWith(asJsonObject(schema));
    if (problem !== null) check.addIssue({ code: "custom", message: problem });
  })
  .meta({ "x-name": "JsonSchema", description: "A JSON Schema of an object" });

export const Output = z
  .union([Names, Schema], {
    error:
      'must be a list of names, such as ["sentiment", "reason"], or a JSON Schema of an object',
  })
  .describe(
    'Names (`["sentiment", "reason"]`, each a text) or a JSON Schema of the object that an answer is to be. It is ' +
      "sent as structured output, or as JSON mode or an instruction where the provider takes nothing better; the " +
      "answer is always checked, repaired by up to `maxRepairs` further calls, and else fails as `SCHEMA_MISMATCH`. " +
      "Results have a column for each property, nested ones as `a.b`",
  );
export type Output = z.infer<typeof Output>;

export const DEFAULT_REPAIRS = 1;

/** How answers are checked, and what follows if one is not good enough. */
export const AnswerFields = {
  output: Output.optional(),
  maxRepairs: z
    .number()
    .int()
    .min(0)
    .max(10)
    .describe(
      "With `output`: how many further calls may show the model its answer and what is wrong with it. They are charged like other calls. " +
        `Unless set: ${DEFAULT_REPAIRS}`,
    )
    .optional(),
  escalateTo: ModelName.describe(
    "A model that is called once more if the answer is empty, cut off or does not match `output`; what that comes " +
      "to counts. The execution says so in `escalatedFrom`",
  ).optional(),
};
export type AnswerFields = z.infer<z.ZodObject<typeof AnswerFields>>;

/** Quick checks of a schema. Only compiling it shows whether it is valid. */
function problemWith(schema: JsonObject): string | null {
  const { length } = JSON.stringify(schema);
  if (length > MOST_SCHEMA_CHARACTERS)
    return `has ${length} characters; ${MOST_SCHEMA_CHARACTERS} is the most`;
  if (schema["type"] !== "object")
    return 'must have "type": "object" at its root, since its properties become columns';
  const { length: columns } = columnsOf(schema, MOST_COLUMNS + 1);
  return columns > MOST_COLUMNS ? `has more than ${MOST_COLUMNS} properties` : null;
}

/** The schema that an output means. */
export function schemaOf(output: Output): JsonObject {
  if (!Array.isArray(output)) return asJsonObject(output);
  return {
    type: "object",
    properties: Object.fromEntries(output.map((name) => [name, { type: "string" }])),
    required: [...output],
    additionalProperties: false,
  };
}

/** `response_format` of a request (https://platform.openai.com/docs/guides/structured-outputs). */
export function responseFormatOf(output: Output): JsonObject {
  const schema = schemaOf(output);
  return {
    type: "json_schema",
    json_schema: { name: "answer", strict: isStrict(schema), schema },
  };
}

/** The schema that a body asks its answer to match. */
export function schemaIn(body: JsonObject): JsonObject | undefined {
  const format = body["response_format"];
  const described = isJsonObject(format) ? format["json_schema"] : undefined;
  const schema = isJsonObject(described) ? described["schema"] : undefined;
  return isJsonObject(schema) ? schema : undefined;
}

/**
 * A task's body without the `response_format` that its `output` added. `maxRepairs` is set exactly if answers are
 * checked.
 */
export function withoutOutput(body: JsonObject, maxRepairs: number | null): JsonObject {
  if (maxRepairs === null) return body;
  const { response_format: _format, ...rest } = body;
  return rest;
}

/** Keywords that OpenAI's strict mode refuses. A schema with one of them is sent as non-strict. */
const NOT_STRICT = new Set([
  "allOf",
  "oneOf",
  "not",
  "if",
  "then",
  "else",
  "dependentRequired",
  "dependentSchemas",
  "patternProperties",
  "propertyNames",
  "unevaluatedProperties",
  "unevaluatedItems",
  "prefixItems",
  "contains",
  "uniqueItems",
  "minProperties",
  "maxProperties",
]);
/** Members of a schema that are values, and not schemas. */
const VALUES = new Set(["enum", "const", "default", "examples", "required"]);

/** Whether strict mode accepts a schema: each object lists all of its properties and requires them. */
function isStrict(schema: JsonObject): boolean {
  const names = Object.keys(schema);
  if (names.some((name) => NOT_STRICT.has(name))) return false;
  if (!["type", "anyOf", "$ref"].some((name) => name in schema)) return false;
  const { type, properties, required, additionalProperties } = schema;
  const isObject = type === "object" || (Array.isArray(type) && type.includes("object"));
  if (isObject || properties !== undefined) {
    if (additionalProperties !== false || !isJsonObject(properties)) return false;
    const all = new Set(Array.isArray(required) ? required : []);
    if (!Object.keys(properties).every((name) => all.has(name))) return false;
  }
  return names.every((name) => {
    const value = schema[name] ?? null;
    if (VALUES.has(name)) return true;
    const isMap = name === "properties" || name === "$defs" || name === "definitions";
    if (isMap && isJsonObject(value)) return Object.values(value).every(isStrictPart);
    return Array.isArray(value) ? value.every(isStrictPart) : isStrictPart(value);
  });
}

function isStrictPart(part: Json): boolean {
  return !isJsonObject(part) || isStrict(part);
}

/** The column of a property, and the property's path in an answer. */
export type OutputColumn = { name: string; path: readonly string[] };

/** Deeper properties share one column, as JSON. */
const DEEPEST_COLUMN = 5;

/** A column for each property that an output describes; nested ones are called `a.b`. */
export function columnsOf(output: Output, most = MOST_COLUMNS): OutputColumn[] {
  const root = schemaOf(output);
  const columns: OutputColumn[] = [];
  const walk = (schema: JsonObject, path: readonly string[]): void => {
    const object = path.length < DEEPEST_COLUMN ? objectSchema(root, schema) : undefined;
    if (!object) {
      if (columns.length < most && path.length > 0) columns.push({ name: path.join("."), path });
      return;
    }
    for (const [name, property] of Object.entries(object)) {
      if (columns.length >= most) return;
      walk(isJsonObject(property) ? property : {}, [...path, name]);
    }
  };
  walk(root, []);
  return columns;
}

/** The schema of an object, also if it may be null. */
function objectSchema(root: JsonObject, schema: JsonObject): JsonObject | undefined {
  let at = schema;
  // References may form a cycle.
  for (let steps = 0; steps < 10; steps++) {
    const { properties, $ref, anyOf } = at;
    if (isJsonObject(properties) && Object.keys(properties).length > 0) return properties;
    const options: Json[] = Array.isArray(anyOf) ? anyOf : [];
    const others = options.filter((one) => !isJsonObject(one) || one["type"] !== "null");
    const next = typeof $ref === "string" ? definitionAt(root, $ref) : others[0];
    if (!isJsonObject(next) || others.length > 1) return undefined;
    at = next;
  }
  return undefined;
}

function definitionAt(root: JsonObject, ref: string): Json | undefined {
  if (!ref.startsWith("#/")) return undefined;
  let at: Json | undefined = root;
  for (const step of ref.slice(2).split("/")) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isJsonObject(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

/** The value at a path of an answer, if there is one. */
export function valueAt(answer: Json, path: readonly string[]): Json | undefined {
  let at: Json | undefined = answer;
  for (const name of path) {
    if (!isJsonObject(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

import { Ajv, type ErrorObject, type Options, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import { Ajv2019 } from "ajv/dist/2019.js";
import { Ajv2020 } from "ajv/dist/2020.js";
import { RE2JS } from "re2js";

import type { Json, JsonObject } from "./json.ts";

/** Why a value does not match its schema; `null` if it matches. */
export type CheckJson = (value: Json) => string | null;

/** A schema that cannot be used; the message says why. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** The dialects of JSON Schema, by a part of what `$schema` says. */
const DIALECTS = [
  ["draft/2020-12", Ajv2020],
  ["draft/2019-09", Ajv2019],
  ["draft-07", Ajv],
  ["draft-06", Ajv],
] as const;
type Dialect = (typeof DIALECTS)[number][1];

/**
 * RE2 takes time in proportion to the text, whatever the pattern; it has no lookaround and no
 * backreferences. Ajv distinguishes patterns by `toString`.
 */
const linear = Object.assign(
  (pattern: string) => {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern));
    return { test: (text: string) => compiled.test(text), toString: () => `re2 ${pattern}` };
  },
  { code: "linearRegExp" },
);

const OPTIONS: Options = {
  // Unknown keywords and formats are ignored, as the specification says.
  strict: false,
  logger: false,
  allErrors: true,
  // Infinity is not a JSON number.
  strictNumbers: true,
  // Otherwise every object would have a property `constructor`.
  ownProperties: true,
  // Otherwise the generated code of a small schema may be large.
  inlineRefs: false,
  code: { regExp: linear },
};

/** A problem is for people and models to read. */
const MOST_PROBLEMS = 5;
const LONGEST_PROBLEM = 1000;

/** Validators of schemas, by dialect. Creating one takes a tenth of a second and more, so they are kept. */
const metas = new Map<Dialect, InstanceType<Dialect>>();

/**
 * Makes a check of a JSON Schema (2020-12 unless it says otherwise). References lead only to what is in the schema
 * itself: nothing is ever fetched. Throws `SchemaError`. The schema decides how long compiling and checking take, so
 * do both in a thread that can be terminated.
 */
export function compileSchema({ $schema, ...schema }: JsonObject): CheckJson {
  const dialect = dialectOf($schema);
  let meta = metas.get(dialect);
  if (!meta) metas.set(dialect, (meta = new dialect(OPTIONS)));
  if (!meta.validateSchema(schema))
    throw new SchemaError(`is not a JSON Schema: ${problemsIn(meta.errors ?? [])}`);
  const validate = compile(dialect, schema);
  return (value) => (validate(value) ? null : problemsIn(validate.errors ?? []));
}

function dialectOf(said: Json | undefined): Dialect {
  if (said === undefined) return Ajv2020;
  const known = DIALECTS.find(([name]) => typeof said === "string" && said.includes(name));
  if (known) return known[1];
  throw new SchemaError(
    `has $schema ${JSON.stringify(said).slice(0, 200)}; 2020-12, 2019-09, draft-07 and draft-06 are known here`,
  );
}

/** Each schema gets an instance of its own, so that schemas may have the same `$id`, and nothing of them is kept. */
function compile(dialect: Dialect, schema: JsonObject): ValidateFunction {
  const ajv = new dialect({ ...OPTIONS, meta: false, validateSchema: false });
  addFormats.default(ajv);
  try {
    const validate = ajv.compile(schema);
    // Its result would be a promise, which counts as true.
    if ("$async" in validate) throw new SchemaError("has $async, which is not a JSON Schema");
    return validate;
  } catch (error) {
    if (error instanceof SchemaError) throw error;
    if (error instanceof Ajv.MissingRefError)
      throw new SchemaError(
        `refers to ${error.missingRef.slice(0, 200)}, which is not in it; only references into the schema itself are followed`,
      );
    throw new SchemaError(`cannot be used: ${whyUnusable(error).slice(0, LONGEST_PROBLEM)}`);
  }
}

/** Why compiling a schema or checking with it failed. The stack overflows if references form a cycle. */
export function whyUnusable(error: unknown): string {
  if (error instanceof RangeError)
    return "its references lead in a circle, without a property or item in between";
  return error instanceof Error ? error.message : String(error);
}

function problemsIn(errors: ErrorObject[]): string {
  const reported = [...new Set(errors.slice(0, 4 * MOST_PROBLEMS).map(problemOf))];
  const more = reported.length > MOST_PROBLEMS ? "; and more" : "";
  return (reported.slice(0, MOST_PROBLEMS).join("; ") + more).slice(0, LONGEST_PROBLEM);
}

function problemOf({ instancePath, message, params }: ErrorObject): string {
  const allowed: unknown = params["allowedValues"] ?? params["allowedValue"];
  const name: unknown = params["additionalProperty"] ?? params["unevaluatedProperty"];
  const detail =
    allowed !== undefined
      ? ` (${JSON.stringify(allowed)})`
      : typeof name === "string"
        ? ` (${JSON.stringify(name)})`
        : "";
  return `${instancePath === "" ? "the object" : instancePath} ${message ?? "is wrong"}${detail}`;
}

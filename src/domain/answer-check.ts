import { BoundedMap } from "../lib/bounded-map.ts";
import { type CheckJson, compileSchema, SchemaError, whyUnusable } from "../lib/json-schema.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { findJson } from "./answer-json.ts";
import { schemaIn } from "./output.ts";

/** What is wrong with an answer, for the model and for people. */
export type Mismatch = {
  problem: string;
  /**
   * Whether another answer may be better. False if the schema itself, or the time that checking takes, is the
   * problem.
   */
  mayRepair: boolean;
};

/**
 * Checks answers in a thread of its own, because a schema or an answer can make a check slow. None of these promises
 * rejects.
 */
export type AnswerChecker = {
  /** Checks an answer against the schema in the body of its request. `null` if it matches. */
  check(body: string, text: string | null): Promise<Mismatch | null>;
  /** Why a schema cannot be used to check answers; `null` if it can. */
  checkSchema(schema: JsonObject): Promise<string | null>;
  /** Ends the thread. */
  stop(): void;
};

export type ToCheck = { id: number } & (
  | { body: string; text: string | null }
  | { schema: JsonObject }
);
export type Checked = { id: number; mismatch: Mismatch | null };

const LONGEST_REASON = 200;

/** Compiling a schema takes milliseconds, and a batch has one. */
const SCHEMAS_REMEMBERED = 100;

/** The code that runs in the thread that checks answers. Each schema is compiled once, also one that is refused. */
export function createAnswerCheck(
  compile: typeof compileSchema = compileSchema,
): (question: ToCheck) => Checked {
  const compiled = new BoundedMap<string, CheckJson | SchemaError>(SCHEMAS_REMEMBERED);

  function checkFor(schema: JsonObject): CheckJson | SchemaError {
    const name = JSON.stringify(schema);
    const known = compiled.get(name) ?? orError(() => compile(schema));
    // The map forgets the oldest entry, which must not be one that is in use.
    compiled.delete(name);
    compiled.set(name, known);
    return known;
  }

  function mismatchOf(question: ToCheck): Mismatch | null {
    const schema = "schema" in question ? question.schema : schemaOfBody(question.body);
    const check = checkFor(schema);
    if (check instanceof SchemaError)
      return { problem: `the schema ${check.message}`, mayRepair: false };
    if ("schema" in question) {
      // The check must come to an end whatever the object contains.
      check({});
      return null;
    }
    const found = findJson(question.text);
    if ("problem" in found) return { problem: found.problem, mayRepair: true };
    const problem = check(parseJson(found.text) ?? null);
    return problem === null ? null : { problem, mayRepair: true };
  }

  return (question) => {
    try {
      return { id: question.id, mismatch: mismatchOf(question) };
    } catch (error) {
      const problem = `cannot be checked: ${whyUnusable(error).slice(0, LONGEST_REASON)}`;
      return { id: question.id, mismatch: { problem, mayRepair: false } };
    }
  };
}

function orError(compile: () => CheckJson): CheckJson | SchemaError {
  try {
    return compile();
  } catch (error) {
    if (error instanceof SchemaError) return error;
    throw error;
  }
}

/** Every request whose answer is checked has a schema. Without one, any object would match. */
function schemaOfBody(text: string): JsonObject {
  const body = parseJson(text);
  return (isJsonObject(body) ? schemaIn(body) : undefined) ?? {};
}

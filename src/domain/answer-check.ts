import { BoundedMap } from "../lib/bounded-map.ts";
import { type CheckJson, compileSchema, SchemaError, whyUnusable } from "../lib/json-schema.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { findJson } from "./answer-json.ts";
import { schemaIn } from "./output.ts";

/** What is wrong with an answer, for the model and for people. */
export type Mismatch = {
  problem: string;
  /** Another answer may be better, which it cannot where the schema, or the time that it takes, is the problem. */
  mayRepair: boolean;
};

/** Checks answers in a thread of its own: how long that takes, schemas and models decide. None of these rejects. */
export type AnswerChecker = {
  /** What is wrong with the text that answers a request, by the schema in its body; `null` where nothing is. */
  check(body: string, text: string | null): Promise<Mismatch | null>;
  /** Why answers cannot be checked by a schema; `null` where they can. */
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

/** A batch has one schema; to compile one takes milliseconds. */
const SCHEMAS_REMEMBERED = 100;

/** What runs in the thread that checks answers. */
export function createAnswerCheck(): (question: ToCheck) => Checked {
  const compiled = new BoundedMap<string, CheckJson | SchemaError>(SCHEMAS_REMEMBERED);

  function checkFor(schema: JsonObject): CheckJson | SchemaError {
    const name = JSON.stringify(schema);
    let known = compiled.get(name);
    if (!known) compiled.set(name, (known = tryToCompile(schema)));
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

function tryToCompile(schema: JsonObject): CheckJson | SchemaError {
  try {
    return compileSchema(schema);
  } catch (error) {
    if (error instanceof SchemaError) return error;
    throw error;
  }
}

/** A request whose answer is to be checked has one; without it, every object would do. */
function schemaOfBody(text: string): JsonObject {
  const body = parseJson(text);
  return (isJsonObject(body) ? schemaIn(body) : undefined) ?? {};
}

import { z } from "zod";

import { invalid } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { asJsonObject, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { issuesOf } from "../lib/zod-issues.ts";
import type { Rest } from "./rest.ts";

const ARGUMENTS = { whole: "the arguments", name: "argument" };

/** Access to the files of the user's machine; absent if the tools are used over HTTP. */
type LocalFiles = {
  /** Sends a file to the server, and resolves to its id there. */
  upload(path: string, signal: AbortSignal): Promise<string>;
  /** Writes all results of a batch to a new file. */
  save(batchId: string, path: string, signal: AbortSignal): Promise<void>;
};

/** The environment of a tool. */
export type World = {
  rest: Rest;
  clock: Pick<Clock, "setTimeout">;
  /** Aborts when the client no longer waits for the answer. */
  signal: AbortSignal;
  local: LocalFiles | null;
  /** The provider of tasks that name no model. */
  provider(): Promise<{ isSimulator: boolean; defaultModel: string }>;
};

/** The effects of a tool, for clients that ask the user first. */
type Hints = { readOnlyHint: boolean; destructiveHint?: boolean; openWorldHint?: boolean };

export type Tool = {
  name: string;
  title: string;
  description: string;
  inputSchema: JsonObject & { type: "object" };
  annotations: Hints;
  /** Throws `AppError` for wrong arguments, and `Refusal` for errors of the API. */
  run(args: unknown, world: World): Promise<object>;
};

type Definition<Own extends z.ZodRawShape, Passed extends z.ZodRawShape> = {
  name: string;
  title: string;
  description: string;
  annotations: Hints;
  /** Arguments that the tool itself reads. */
  own: Own;
  /**
   * Arguments that go to the API unchanged, under the same names. Their schemas are those of the API and are shown to
   * the client; the API checks them.
   */
  passed: Passed;
  run(
    args: { own: z.output<z.ZodObject<Own>>; passed: { [Name in keyof Passed]?: unknown } },
    world: World,
  ): Promise<object>;
};

/** Makes a tool of its definition: its JSON Schema, and the check of its own arguments. */
export function defineTool<const Own extends z.ZodRawShape, const Passed extends z.ZodRawShape>({
  own,
  passed,
  run,
  ...about
}: Definition<Own, Passed>): Tool {
  const unchecked = Object.fromEntries(
    Object.keys(passed).map((name) => [name, z.unknown().optional()]),
  );
  const checked = z.strictObject({ ...unchecked, ...own });
  return {
    ...about,
    inputSchema: { type: "object", ...schemaOf(z.strictObject({ ...own, ...passed })) },
    run(args, world) {
      const parsed = checked.safeParse(args);
      if (!parsed.success) throw invalid(issuesOf(parsed.error.issues, ARGUMENTS));
      const entries = Object.entries(parsed.data);
      const pick = (isOwn: boolean) =>
        Object.fromEntries(
          entries.filter(([name, value]) => name in own === isOwn && value !== undefined),
        );
      // The schema has just checked the names and types.
      const split = { own: pick(true), passed: pick(false) } as Parameters<typeof run>[0];
      return run(split, world);
    },
  };
}

/** Keywords that clients do not need: marks for the OpenAPI document, and those without meaning. */
const LEFT_OUT = new Set(["$schema", "x-name", "propertyNames"]);

function schemaOf(schema: z.ZodType): JsonObject {
  const whole = z.toJSONSchema(schema, { io: "input" });
  return asJsonObject(plain(whole as Json) as JsonObject);
}

function plain(value: Json): Json {
  if (Array.isArray(value)) return value.map(plain);
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).filter(([name]) => !LEFT_OUT.has(name));
  return Object.fromEntries(kept.map(([name, item]) => [name, plain(item)]));
}

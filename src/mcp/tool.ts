import { z } from "zod";

import { invalid } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { asJsonObject, isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { issuesOf } from "../lib/zod-issues.ts";
import type { Rest } from "./rest.ts";

/** The machine of the person whose agent it is; there is none where tools are used over HTTP. */
type LocalFiles = {
  /** Sends a file to the server, and resolves to its id there. */
  upload(path: string, signal: AbortSignal): Promise<string>;
  /** Writes all results of a batch to a new file. */
  save(batchId: string, path: string, signal: AbortSignal): Promise<void>;
};

/** What a tool has to work with. */
export type World = {
  rest: Rest;
  clock: Pick<Clock, "setTimeout">;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
  local: LocalFiles | null;
  /** Who answers tasks that name no model. */
  provider(): Promise<{ isSimulator: boolean; defaultModel: string }>;
};

/** What a tool does to its surroundings, for clients that ask a person first. */
type Hints = { readOnlyHint: boolean; destructiveHint?: boolean; openWorldHint?: boolean };

export type Tool = {
  name: string;
  title: string;
  description: string;
  inputSchema: JsonObject & { type: "object" };
  annotations: Hints;
  /** Throws `AppError` for arguments that are wrong, `Refusal` for what the API refuses. */
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
   * Arguments that go to the API as they are, under the same names. Their schemas are those of the API and are
   * shown to the client; it is the API that checks them.
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
      if (!parsed.success) throw invalid(issuesOf(parsed.error.issues));
      const entries = Object.entries(parsed.data);
      const pick = (isOwn: boolean) =>
        Object.fromEntries(
          entries.filter(([name, value]) => name in own === isOwn && value !== undefined),
        );
      // The names and types are those that the schema has just let pass.
      const split = { own: pick(true), passed: pick(false) } as Parameters<typeof run>[0];
      return run(split, world);
    },
  };
}

/** What clients need not know: marks for the OpenAPI document, and what says nothing. */
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

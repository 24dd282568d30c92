import { z } from "zod";

import { BatchConfig, Id, TaskInput } from "../../domain/task-input.ts";
import { FilePath, Name } from "../../domain/text.ts";
import { invalid } from "../../errors.ts";
import { pathOf, Refusal, refusedWith } from "../rest.ts";
import { defineTool, type Tool, type World } from "../tool.ts";
import { waitSeconds } from "../wait.ts";
import { requireProvider } from "./provider.ts";
import { batchAfter } from "./standing.ts";

const OWN = {
  id: Id.optional().describe(
    "An id of your own for the batch. The same call with the same id makes the batch once, so that it is safe to " +
      "call again where an answer was lost",
  ),
  start: z
    .boolean()
    .default(true)
    .describe("`false` only makes the batch, so that `estimate` can say what it would cost"),
  isDryRun: z.boolean().default(false).describe("Let the simulator answer, at no cost"),
  waitSeconds: waitSeconds(20),
};

const LOCAL = {
  file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "A table on this machine (CSV, XLSX, Parquet, JSON, JSONL), which is sent to the server",
    ),
};

const PASSED = {
  name: Name.optional(),
  tasks: z
    .array(TaskInput)
    .min(1)
    .optional()
    .describe(
      "The rows: each has a `prompt` or `messages`, or values in `metadata`, which fill `{{name}}` in " +
        "`config.promptTemplate`",
    ),
  inputFile: FilePath.optional().describe(
    "In place of `tasks`: a table that the server can read: the id of an upload (`file-…`), a path in its files " +
      "folder, or an https:// URL. Its columns fill `{{column}}` in `config.promptTemplate`",
  ),
  inputBatch: Id.optional().describe("In place of `tasks`: the rows and answers of another batch"),
  config: BatchConfig.optional(),
};

const ABOUT = {
  name: "run_batch",
  title: "Run a batch of prompts",
  description:
    "Sends many prompts to a model: one for each row of a table, or for each of `tasks`. Answers survive restarts; a " +
    "row that was answered is never paid again. `config.promptTemplate` is the prompt with `{{column}}` in it, " +
    "`config.output` names the fields that each answer is to have. Costs what the model costs: set " +
    "`config.maxCostUsd`, or make it with `start: false` and call `estimate` first.",
  annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
};

type Own = z.output<z.ZodObject<typeof OWN>> & { file?: string | undefined };

/** The tool `run_batch`; with `isLocal`, it also accepts files of the user's machine. */
export function runBatch(isLocal: boolean): Tool {
  return isLocal
    ? defineTool({ ...ABOUT, own: { ...OWN, ...LOCAL }, passed: PASSED, run })
    : defineTool({ ...ABOUT, own: OWN, passed: PASSED, run });
}

async function run(
  { own, passed }: { own: Own; passed: { [Name in keyof typeof PASSED]?: unknown } },
  world: World,
): Promise<object> {
  const { file, start, isDryRun } = own;
  if (start) await requireProvider(world, isDryRun);
  if (file === undefined) return create(own, passed, world);
  if (["tasks", "inputFile", "inputBatch"].some((name) => name in passed) || !world.local)
    throw invalid([{ path: "file", message: "give one of file, tasks, inputFile and inputBatch" }]);
  const { rest, signal } = world;
  const inputFile = await world.local.upload(file, signal);
  try {
    return await create(own, { ...passed, inputFile, scopedIds: true }, world);
  } finally {
    // The batch keeps its rows, and a remaining upload is no reason to fail the call.
    await rest.call(`/files/${inputFile}`, { method: "DELETE" }).catch(() => undefined);
  }
}

async function create(own: Own, body: object, world: World): Promise<object> {
  const { rest, signal } = world;
  const { id, start, isDryRun } = own;
  const made = rest.call<{ id: string }>("/batches", {
    method: "POST",
    body: { ...body, ...(id === undefined ? {} : { id }) },
    headers: id === undefined ? {} : { "idempotency-key": `mcp-${id}` },
    isRepeatable: id !== undefined,
    signal,
  });
  const batch = await made.catch((error: unknown) => {
    throw refusedWith(error, "IDEMPOTENCY_KEY_REUSED") ? taken(id) : error;
  });
  if (start) await startBatch(world, batch.id, isDryRun);
  return batchAfter(world, batch.id, start ? own.waitSeconds : 0);
}

function taken(id: string | undefined): Refusal {
  return new Refusal(
    "BATCH_ALREADY_EXISTS",
    `There is a batch with id ${id} already, which was made by another call. \`status\` shows it; choose another id for a new one`,
  );
}

/** Starts a batch, unless it was already started: the answer to an earlier call may have been lost. */
async function startBatch(world: World, id: string, isDryRun: boolean): Promise<void> {
  try {
    await world.rest.call(pathOf("batches", id, "/execute"), {
      method: "POST",
      body: { isDryRun },
      isRepeatable: true,
      signal: world.signal,
    });
  } catch (error) {
    if (!refusedWith(error, "BATCH_RUNNING", "BATCH_FINISHED")) throw error;
  }
}

import type { Context } from "../context.ts";
import type { InputFound } from "../domain/input-found.ts";
import type { TaskInput } from "../domain/task-input.ts";
import { invalid } from "../errors.ts";
import type { Which } from "../store/which.ts";
import type { BatchDraft } from "./batch-draft.ts";
import { type InputBatch, openInputBatch } from "./batch-rows.ts";
import type { Caller } from "./caller.ts";
import { openInputFile } from "./input-files.ts";
import type { BatchInput } from "./input-text.ts";
import { type PreparedRow, prepareTask, type RowContext } from "./prepare-row.ts";
import type { InputKind } from "./row-issues.ts";

/** `when`: true as long as the rows are those that were read. */
export type Opened = BatchInput & { kind: InputKind; when?: Which };

export function requireOneInput({ tasks, inputFile, inputBatch }: BatchDraft): void {
  if ([tasks, inputFile, inputBatch].filter((one) => one !== undefined).length !== 1)
    throw invalid([{ path: "tasks", message: "give either tasks, inputFile or inputBatch" }]);
}

/** Opens the input of a batch; `chained` is the batch that `inputBatch` names. */
export async function openInput(
  ctx: Context,
  caller: Pick<Caller, "key">,
  { tasks, inputFile }: BatchDraft,
  chained: InputBatch | null,
  rows: RowContext,
): Promise<Opened> {
  if (chained) return { kind: "file", ...openInputBatch(ctx, chained, rows) };
  if (inputFile !== undefined)
    return { kind: "file", ...(await openInputFile(ctx, caller, inputFile, rows)) };
  return {
    kind: "inline",
    source: () => [prepareTasks(rows, tasks ?? [])],
    columns: () => null,
    found: () => null,
  };
}

export function withRows(
  found: ReturnType<BatchInput["found"]>,
  rows: number,
  idPrefix: string,
): InputFound | null {
  return found && { ...found, rows, ...(idPrefix === "" ? {} : { idPrefix }) };
}

/** One by one, because templates can make them a hundred times as large. */
function* prepareTasks(rows: RowContext, tasks: TaskInput[]): Generator<PreparedRow> {
  for (const [i, task] of tasks.entries())
    yield prepareTask(rows, i + 1, task, variablesOf(task), null);
}

/** Inline tasks have no columns: a template sees their id, prompt, and the values of their metadata. */
function variablesOf({ id, prompt, metadata }: TaskInput): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const [name, value] of Object.entries({ ...metadata, prompt, id }))
    if (value === null) variables.set(name, "");
    else if (value !== undefined)
      variables.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  return variables;
}

import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import type { TaskInput } from "../../src/domain/task-input.ts";
import { AppError } from "../../src/errors.ts";
import type { BatchDraft } from "../../src/services/batch-draft.ts";
import { createBatch } from "../../src/services/create-batch.ts";
import { type Acting, type Begun, remember } from "./acting.ts";
import { ANY_TASK } from "./provider.ts";

/** The start of the prompts of requests that must be refused. */
const WRONG = "wrong-";
const MOST_ROWS = 30;

/**
 * A batch of which one row is wrong, and when that has been refused the same ids in order: they must be free. Rows
 * before the wrong one may have been written by then.
 */
export function sendWrong(acting: Acting): Begun {
  const { luck } = acting;
  const id = `w${luck.int(0, 1_000_000_000)}`;
  const count = luck.int(2, MOST_ROWS);
  const place = luck.int(1, count - 1);
  const isTwice = luck.chance(0.5);
  const what = isTwice ? "has the id of another" : "lacks a variable";
  return {
    what: `create ${id}, of whose ${count} rows row ${place + 1} ${what}, and then without that`,
    done: sendBoth(acting, id, { count, place, isTwice }),
  };
}

async function sendBoth(
  { node: { ctx }, caller, ledger, complain }: Acting,
  id: string,
  { count, place, isTwice }: { count: number; place: number; isTwice: boolean },
): Promise<void> {
  const rowsOf = (prompt: (i: number) => string): TaskInput[] =>
    Array.from({ length: count }, (_, i) => ({
      id: `${id}-${i}`,
      prompt: prompt(i),
      model: "gpt-4o-mini",
      metadata: { note: "x" },
    }));
  const wrong = rowsOf((i) => `${ANY_TASK} ${WRONG}${id}-${i}|`);
  const row = wrong[place];
  if (row && isTwice) row.id = `${id}-${place - 1}`;
  else if (row) row.metadata = {};
  const config = { promptTemplate: "{{prompt}}{{note}}" };
  const isRefused = await isRefusedByItsRows(() =>
    createBatch(ctx, caller, { id, tasks: wrong, config }),
  );
  if (!isRefused) return complain(`${id} was created, although a row is wrong`);
  const right: BatchDraft = { id, tasks: rowsOf((i) => `${id}-${i}|`), config: {} };
  ledger.mayRefill(id);
  if (await isRefusedByItsRows(() => createBatch(ctx, caller, right)))
    complain(`the rows of ${id} are refused, although they are right now`);
  else remember(ledger.batches, id);
}

/** Whether a request was refused for its rows; it throws all other errors. */
async function isRefusedByItsRows(send: () => Promise<unknown>): Promise<boolean> {
  try {
    await send();
    return false;
  } catch (error) {
    const code = error instanceof AppError ? error.code : undefined;
    if (code === "VALIDATION_ERROR" || code === "TASK_ALREADY_EXISTS") return true;
    throw error;
  }
}

/** Checks that refused requests have left no task. */
export async function checkWrong(truth: Client, complain: (what: string) => void): Promise<void> {
  const found = await truth.execute(
    `SELECT t.id, b.status FROM task_inputs i JOIN tasks t ON t.seq = i.task JOIN batches b ON b.seq = t.batch
     WHERE i.prompt LIKE '${ANY_TASK} ${WRONG}%'`,
  );
  for (const { id, status } of rowsOf<{ id: string; status: string }>(found))
    complain(`task ${id} of a refused request is in a batch that is ${status}`);
}

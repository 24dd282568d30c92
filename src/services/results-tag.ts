import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { sha256Hex } from "../lib/hash.ts";
import { readState, type ResultsState } from "../store/results.ts";
import { readRows } from "../store/rows.ts";
import type { ResultOptions } from "./results.ts";

/*
 * Results are generated page by page while a client reads them. A tag names the state of the batch in which they were
 * requested. If a task runs again meanwhile, the pages are of different states, and must not pass as what the tag
 * names. A state does not come back, so it is enough to compare it once, after the last page.
 */

/** What changes with the results of a batch; `null` while they may change at any time. */
export function stateOfResults(batch: ResultsState): readonly unknown[] | null {
  const { seq, run, total, completed, failed, cancelled, updatedAt, completedAt } = batch;
  // A task of an ended batch may run again by itself, and the batch has ended nevertheless.
  if (completedAt === null || completed + failed + cancelled < total) return null;
  return [seq, run, completed, failed, cancelled, updatedAt, completedAt];
}

/** A tag that changes with the results of a batch; `null` while they may change at any time. */
export function resultsTag(
  batch: ResultsState,
  { format, status, safe, bom, contains }: ResultOptions & { contains?: string | undefined },
): string | null {
  const state = stateOfResults(batch);
  return state && tagOf([...state, format, status ?? "", safe, bom, contains ?? ""]);
}

export function tagOf(parts: readonly unknown[]): string {
  return sha256Hex(JSON.stringify(parts)).slice(0, 32);
}

/**
 * Throws `SERVICE_UNAVAILABLE` if the results of a batch have changed since it was read. Those without a tag may.
 */
export async function requireSameResults(
  ctx: Pick<Context, "longReads">,
  batch: ResultsState & { id: string },
): Promise<void> {
  const state = stateOfResults(batch);
  if (state === null) return;
  const [present] = await readRows(ctx.longReads.client, readState(batch.seq));
  if (present && JSON.stringify(stateOfResults(present)) === JSON.stringify(state)) return;
  getLogger(["gptrunner", "files"]).info(
    "The results of batch {batch} have changed while they were read for a file",
    { batch: batch.id },
  );
  throw new AppError(
    "SERVICE_UNAVAILABLE",
    `The results of batch ${batch.id} have changed while they were read; request them again`,
  );
}

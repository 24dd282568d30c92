import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { executionId } from "../domain/task.ts";
import type { CancelledRun } from "../store/queue.ts";

const log = getLogger(["gptrunner", "executions"]);

/** Logs cancelled executions, a line each, and traces them. The engine does so for all other ends. */
export function announceCancelled(
  { tracing }: Pick<Context, "tracing">,
  runs: readonly CancelledRun[],
  now: number,
): void {
  for (const { task, run, model, queuedAt, attempts, trace } of runs) {
    const id = executionId(task, run);
    log.info("{executionId} cancelled after {attempts} attempts", {
      executionId: id,
      status: "cancelled",
      model,
      attempts,
    });
    if (tracing.isOn)
      tracing.execution({
        parent: trace,
        executionId: id,
        queuedAt,
        endedAt: now,
        model,
        attempts,
        status: "cancelled",
        error: null,
      });
  }
}

// What happened to a task, execution by execution and attempt by attempt.

import { table } from "./dom.js";
import { ago, duration, exactTime } from "./format.js";

/** Which provider and model were called, if they differ from those that answered in the end or from the requested model. */
const elsewhere = (attempt, task) =>
  attempt.provider && (attempt.provider !== task.provider || isOther(attempt.model, task.model))
    ? `${attempt.model} at ${attempt.provider}`
    : null;

/** Models answer with the names of their versions. */
const isOther = (called, asked) => called && !called.startsWith(asked);

export function timeline(task, executions) {
  const rows = [[exactTime(task.createdAt), "created", ""]];
  for (const execution of executions) {
    rows.push([
      exactTime(execution.queuedAt),
      `queued${execution.isDryRun ? " (dry run)" : ""}`,
      execution.id,
    ]);
    for (const a of execution.attempts)
      rows.push([
        exactTime(a.startedAt),
        `attempt ${a.attempt}: ${a.outcome}`,
        [
          a.endedAt && a.startedAt
            ? `after ${duration((Date.parse(a.endedAt) - Date.parse(a.startedAt)) / 1000)}`
            : ago(a.startedAt),
          elsewhere(a, task),
          a.message,
          a.requestId,
        ]
          .filter(Boolean)
          .join(" · "),
      ]);
    if (execution.completedAt) rows.push([exactTime(execution.completedAt), execution.status, ""]);
  }
  return table([{ name: "Time" }, { name: "What" }, { name: "", class: "wrap" }], rows);
}

import type { Executions, Task } from "../api/wire.ts";
import { between, duration } from "../ui/format.ts";
import { type Row, Table } from "../ui/table.tsx";
import { ExactTime } from "../ui/time.tsx";

type Execution = Executions["executions"][number];
type Attempt = Execution["attempts"][number];

/** What happened to a task, execution by execution and attempt by attempt. */
export function Timeline({ task, executions }: { task: Task; executions: Execution[] }) {
  const rows: Row[] = [line("created", task.createdAt, "created", "")];
  for (const execution of executions) {
    const { id, isDryRun } = execution;
    rows.push(
      line(`${id} queued`, execution.queuedAt, `queued${isDryRun ? " (dry run)" : ""}`, id),
    );
    for (const one of execution.attempts)
      rows.push(
        line(
          `${id} ${one.attempt} ${one.startedAt}`,
          one.startedAt,
          `attempt ${one.attempt}: ${one.outcome}`,
          about(one, task),
        ),
      );
    if (execution.completedAt)
      rows.push(
        line(`${id} end`, execution.completedAt, execution.status, execution.adjusted.join(", ")),
      );
  }
  return (
    <Table
      label="Timeline"
      isStacked
      columns={[
        { name: "Time" },
        { name: "What" },
        { name: "Details", class: "wrap", hidden: true },
      ]}
      rows={rows}
    />
  );
}

function line(key: string, at: string | null, what: string, details: string): Row {
  return { key, cells: [<ExactTime at={at} />, what, details] };
}

function about(attempt: Attempt, task: Task): string {
  const took = between(attempt.startedAt, attempt.endedAt);
  return [
    took === null ? "in progress" : `after ${duration(took)}`,
    elsewhere(attempt, task),
    attempt.message,
    attempt.requestId,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Which provider and model were called, if they differ from those that answered in the end or from the requested model. */
function elsewhere({ provider, model }: Attempt, task: Task): string | null {
  // Models answer with the names of their versions.
  const isOther = model !== null && !model.startsWith(task.model);
  return provider && (provider !== task.provider || isOther) ? `${model} at ${provider}` : null;
}

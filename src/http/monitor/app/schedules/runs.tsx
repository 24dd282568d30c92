import type { Page, Run } from "../api/wire.ts";
import { ends, schedules as live } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { between, count, duration, money } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { pathOf } from "./actions.tsx";

const CAUSES: Record<Run["cause"], string> = {
  schedule: "on schedule",
  catch_up: "caught up",
  manual: "manual",
};

/** Every fire of a schedule, also skipped and missed ones with the reason. */
export function Runs({ id }: { id: string }) {
  const cursor = useCursor();
  const runs = useResource<Page<"runs", Run>>(
    `${pathOf(id)}/runs?limit=25${cursor.query}`,
    `${live.value?.revision} ${ends.value}`,
  );
  return (
    <Card id="runs" title="History" isWide>
      <Shown of={runs}>
        {({ runs: all, pagination }) =>
          all.length === 0 ? (
            <Empty>It has not fired yet.</Empty>
          ) : (
            <>
              <Table
                label="Runs"
                isStacked
                columns={[
                  { name: "Due" },
                  { name: "Status" },
                  { name: "Why", class: "wrap" },
                  num("Rows"),
                  num("Took"),
                  num("Cost"),
                ]}
                rows={all.map((run) => ({ key: run.id, cells: cellsOf(run) }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

function cellsOf(run: Run) {
  const { total, completed, failed } = run.counts;
  const took = between(run.startedAt, run.finishedAt);
  const cost = run.isDryRun ? run.estimatedCostUsd : run.costUsd;
  return [
    run.batchId === null ? (
      <Time at={run.scheduledAt} />
    ) : (
      <a href={href(["batches", run.batchId])}>
        <Time at={run.scheduledAt} />
      </a>
    ),
    <Badge status={run.status} />,
    <div>
      {CAUSES[run.cause]}
      {run.isDryRun ? ", dry run" : ""}
      <Reason of={run} />
    </div>,
    total === 0
      ? ""
      : `${count(completed)} of ${count(total)}${failed > 0 ? `, ${count(failed)} failed` : ""}`,
    took === null ? "" : duration(took),
    cost === null ? "" : `${money(cost)}${run.isDryRun ? " (estimate)" : ""}`,
  ];
}

function Reason({ of: { reason, error } }: { of: Run }) {
  const reported = error?.message ?? reason;
  if (!reported) return null;
  return (
    <div class={error ? "hint error" : "hint"}>
      {reported}
      {error?.details && (
        <details>
          <summary>Details</summary>
          <pre>{JSON.stringify(error.details, null, 2)}</pre>
        </details>
      )}
    </div>
  );
}

import { useState } from "preact/hooks";

import { call, may } from "../api/client.ts";
import type { Page, Schedule, ScheduleRun } from "../api/wire.ts";
import { schedules as live } from "../live/state.ts";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { between, count, duration, money } from "../ui/format.ts";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts, num, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";
import { ScheduleActions } from "./actions.tsx";
import { ScheduleForm } from "./form.tsx";
import { sentenceOf } from "./times.ts";

/** A schedule: when it runs, and what came of its runs. */
export function SchedulePage({ id }: { id: string }) {
  const path = `/scheduled-tasks/${encodeURIComponent(id)}`;
  const cursor = useCursor();
  const [isEditing, setEditing] = useState(false);
  const schedule = useResource<Schedule>(path, live.value?.revision);
  const runs = useResource<Page<"runs", ScheduleRun>>(
    `${path}/runs?limit=20${cursor.query}`,
    live.value?.revision,
  );
  return (
    <Shown of={schedule}>
      {(one) => (
        <>
          <section class="card" aria-labelledby="schedule-title">
            <header>
              <h2 id="schedule-title" dir="auto">
                {one.name}
              </h2>
              <div class="actions">
                <Badge status={one.isActive ? "healthy" : "paused"}>
                  {one.isActive ? "active" : "paused"}
                </Badge>
                {may("write") && (
                  <button type="button" class="small" onClick={() => setEditing(true)}>
                    Change
                  </button>
                )}
                <ScheduleActions schedule={one} refresh={schedule.refresh} />
              </div>
            </header>
            <div class="panel">
              <p>
                <strong>{sentenceOf(one.schedule)}</strong>{" "}
                <span class="quiet">({one.timezone})</span>
              </p>
              {one.pauseReason && <p class="error">{one.pauseReason}</p>}
              <Facts
                pairs={[
                  ["Id", one.id],
                  ["Cron", one.schedule],
                  ["Input", one.inputFile],
                  ["Output", one.outputFile],
                  ["Overlap", one.overlapPolicy],
                  ["Dry run", one.isDryRun ? "yes" : ""],
                  [
                    "Settings",
                    Object.keys(one.config).length > 0 ? JSON.stringify(one.config) : "",
                  ],
                ]}
              />
              {one.nextRuns.length > 0 && (
                <>
                  <h3>The next five times</h3>
                  <ol class="hint">
                    {one.nextRuns.map((at) => (
                      <li key={at}>
                        <Time at={at} />
                      </li>
                    ))}
                  </ol>
                </>
              )}
            </div>
          </section>
          <Card id="runs" title="Runs" isWide>
            <Shown of={runs}>{(data) => <Runs page={data} cursor={cursor} />}</Shown>
          </Card>
          {isEditing && (
            <Dialog title={`Change ${one.name}`} onClose={() => setEditing(false)}>
              <ScheduleForm
                first={one}
                submitName="Save"
                onCancel={() => setEditing(false)}
                submit={async (fields) => {
                  await call("PATCH", path, fields);
                  setEditing(false);
                  schedule.refresh();
                }}
              />
            </Dialog>
          )}
        </>
      )}
    </Shown>
  );
}

function Runs({
  page,
  cursor,
}: {
  page: Page<"runs", ScheduleRun>;
  cursor: ReturnType<typeof useCursor>;
}) {
  if (page.runs.length === 0) return <Empty>It has not run yet.</Empty>;
  return (
    <>
      <Table
        columns={[
          { name: "Scheduled" },
          { name: "Status" },
          { name: "Why", class: "wrap" },
          num("Rows"),
          num("Took"),
          num("Cost"),
          { name: "Batch" },
        ]}
        rows={page.runs.map((run) => ({
          key: run.id,
          cells: [
            <>
              <Time at={run.scheduledAt} />
              {run.cause !== "schedule" && <div class="hint">{run.cause}</div>}
            </>,
            <Badge status={run.status} />,
            run.error?.message ?? run.reason ?? "",
            `${count(run.counts.completed)} / ${count(run.counts.total)}`,
            duration(between(run.startedAt, run.finishedAt)),
            money(run.costUsd),
            run.batchId ? <a href={href(["batches", run.batchId])}>{run.batchId}</a> : "",
          ],
        }))}
      />
      <Pager cursor={cursor} of={page.pagination} />
    </>
  );
}

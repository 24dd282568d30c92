import { useState } from "preact/hooks";

import type { Batch, LiveBatch } from "../api/wire.ts";
import { Downloads } from "../batches/actions.tsx";
import { href } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { SelectField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Table } from "../ui/table.tsx";

const STATUSES = ["completed", "failed", "cancelled", "running", "pending"] as const;

/** The rows of a batch. */
export function Results({ batch, live }: { batch: Batch; live: LiveBatch }) {
  const [status, setStatus] = useState("");
  const cursor = useCursor();
  const path = `/batches/${encodeURIComponent(batch.id)}?limit=25${status && `&status=${status}`}${cursor.query}`;
  const rows = useResource<Batch>(path, JSON.stringify(live.progress));
  return (
    <Card
      id="results"
      title="Rows"
      isWide
      note={
        <div class="actions">
          <Downloads id={batch.id} name={batch.name} filter={status && `&status=${status}`} />
        </div>
      }
    >
      <div class="filters">
        <SelectField
          label="Status"
          value={status}
          onInput={setStatus}
          options={[["", "any"], ...STATUSES]}
        />
      </div>
      <Shown of={rows}>
        {({ tasks, pagination }) => (
          <>
            <Table
              columns={[
                { name: "Task", class: "name" },
                { name: "Status" },
                { name: "Answer", class: "cut" },
              ]}
              rows={tasks.map((task) => ({
                key: task.id,
                cells: [
                  <a href={href(["tasks", task.id])}>{task.id}</a>,
                  <Badge status={task.status} />,
                  task.error ? (
                    <span class="error">{task.error.message}</span>
                  ) : (
                    (task.result ?? "")
                  ),
                ],
              }))}
            />
            <Pager cursor={cursor} of={pagination} />
          </>
        )}
      </Shown>
    </Card>
  );
}

import { useState } from "preact/hooks";

import type { BatchSummary, Page } from "../api/wire.ts";
import { batches as liveBatches, tasks } from "../live/state.ts";
import { route } from "../shell/router.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { BatchPage } from "./batch.tsx";
import { BatchTable } from "./list.tsx";
import { toLiveBatch } from "./live-batch.ts";

const STATUSES = ["pending", "running", "paused", "completed", "failed", "cancelled"] as const;

export function Batches() {
  const [, id] = route.value.parts;
  return id === undefined ? <AllBatches /> : <BatchPage key={id} id={id} />;
}

/** All batches, by name and status, page by page. Those that are in the live stream are shown as there. */
function AllBatches() {
  const [name, setName] = useState("");
  const [status, setStatus] = useState("");
  const cursor = useCursor();
  const query = `${name ? `&name=${encodeURIComponent(name)}` : ""}${status ? `&status=${status}` : ""}`;
  const list = useResource<Page<"batches", BatchSummary>>(
    `/batches?limit=25${query}${cursor.query}`,
    Object.keys(liveBatches.value ?? {}).join() + (status ? tasks.value?.completed : ""),
  );
  const change = (set: (value: string) => void) => (value: string) => {
    set(value);
    cursor.first();
  };
  return (
    <Card id="all-batches" title="Batches" isWide>
      <div class="filters">
        <TextField label="Name contains" value={name} onInput={change(setName)} />
        <SelectField
          label="Status"
          value={status}
          onInput={change(setStatus)}
          options={[["", "any"], ...STATUSES]}
        />
      </div>
      <Shown of={list}>
        {({ batches, pagination }) =>
          batches.length === 0 ? (
            <Empty>{query ? "No batch matches." : "No batch yet."}</Empty>
          ) : (
            <>
              <BatchTable
                batches={batches.map((batch) => [
                  batch.id,
                  liveBatches.value?.[batch.id] ?? toLiveBatch(batch),
                ])}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

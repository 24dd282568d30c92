import type { BatchSummary, Page } from "../api/wire.ts";
import { batches as liveBatches, ends } from "../live/state.ts";
import { replaceQuery, route } from "../shell/router.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { useSettled } from "../ui/settled.ts";
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
  const { query: given } = route.value;
  const [typed, status] = [given.get("name") ?? "", given.get("status") ?? ""];
  const name = useSettled(typed.trim());
  const cursor = useCursor();
  const query = `${name ? `&name=${encodeURIComponent(name)}` : ""}${status ? `&status=${status}` : ""}`;
  const shown = Object.entries(liveBatches.value ?? {}).map(([id, batch]) =>
    status ? `${id} ${batch.status}` : id,
  );
  const list = useResource<Page<"batches", BatchSummary>>(
    `/batches?limit=25${query}${cursor.query}`,
    `${shown.join()} ${status && ends.value}`,
  );
  const filter = (changes: Record<string, string>) =>
    replaceQuery({ ...changes, cursor: undefined, page: undefined });
  return (
    <Card id="all-batches" title="Batches" isWide>
      <div class="filters">
        <TextField
          label="Name contains"
          type="search"
          value={typed}
          onInput={(value) => filter({ name: value })}
        />
        <SelectField
          label="Status"
          value={status}
          onInput={(value) => filter({ status: value })}
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

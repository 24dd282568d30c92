import { useState } from "preact/hooks";

import { download, may } from "../api/client.ts";
import type { AuditEntry, Page } from "../api/wire.ts";
import { Action } from "../ui/action.tsx";
import { TextField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

/** Who changed, executed or deleted what. */
export function Audit() {
  const [filter, setFilter] = useState({ action: "", target: "", keyId: "" });
  const cursor = useCursor();
  const given = Object.entries(filter).filter(([, value]) => value.trim() !== "");
  const query = given
    .map(([name, value]) => `&${name}=${encodeURIComponent(value.trim())}`)
    .join("");
  const list = useResource<Page<"entries", AuditEntry>>(`/audit?limit=50${query}${cursor.query}`);
  if (!may("admin")) return <Empty>This needs a key with the scope admin.</Empty>;
  const field = (name: keyof typeof filter, label: string, placeholder: string) => (
    <TextField
      label={label}
      value={filter[name]}
      placeholder={placeholder}
      onInput={(value) => {
        setFilter({ ...filter, [name]: value });
        cursor.first();
      }}
    />
  );
  return (
    <Card
      id="audit"
      title="Audit log"
      isWide
      note={
        <div class="actions">
          <button type="button" class="small" onClick={list.refresh}>
            Read again
          </button>
          <Action run={() => download("/audit/export?format=csv", "audit.csv")}>
            Download as CSV
          </Action>
        </div>
      }
    >
      <div class="filters">
        {field("action", "Action", "tasks.execute")}
        {field("target", "Of what (id)", "batch-001")}
        {field("keyId", "By key (id)", "key-…")}
      </div>
      <Shown of={list}>
        {({ entries, pagination }) =>
          entries.length === 0 ? (
            <Empty>No entry{given.length > 0 ? " matches" : ""}.</Empty>
          ) : (
            <>
              <Table
                columns={[
                  { name: "Time" },
                  { name: "Action" },
                  { name: "Of what", class: "wrap" },
                  { name: "By key" },
                  { name: "From" },
                  { name: "Options", class: "wrap" },
                ]}
                rows={entries.map((entry) => ({
                  key: String(entry.id),
                  cells: [
                    <Time at={entry.time} />,
                    entry.action,
                    entry.target ?? "",
                    entry.keyId,
                    entry.address ?? "",
                    entry.options ? JSON.stringify(entry.options) : "",
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

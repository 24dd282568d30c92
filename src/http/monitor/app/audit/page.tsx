import { download } from "../api/client.ts";
import type { AuditEntry, Page } from "../api/wire.ts";
import { audit as live } from "../live/state.ts";
import { href, replaceQuery, route } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { TextField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { useSettled } from "../ui/settled.ts";
import { Table } from "../ui/table.tsx";
import { ExactTime } from "../ui/time.tsx";

const TEXTS = { keyId: "Key", action: "Action", target: "Target" } as const;
const TIMES = { after: "createdAfter", before: "createdBefore" } as const;

/** Who created, changed, revoked, deleted or executed what. */
export function Audit() {
  const { query } = route.value;
  const filter = (changes: Record<string, string>) =>
    replaceQuery({ ...changes, cursor: undefined, page: undefined });
  const search = useSettled(searchOf(query));
  const cursor = useCursor();
  const list = useResource<Page<"entries", AuditEntry>>(
    `/audit?limit=50${search && `&${search}`}${cursor.query}`,
    live.value?.revision,
  );
  const range = rangeOf(query);
  return (
    <Card
      id="audit"
      title="Audit log"
      isWide
      note={
        <div class="actions">
          <Action run={list.refresh} label="Refresh the audit log">
            Refresh
          </Action>
          <Action
            label="Export the entries of these times as CSV"
            run={() => download(`/audit/export?format=csv&${range}`, "audit.csv")}
          >
            CSV
          </Action>
          <Action
            label="Export the entries of these times as JSONL"
            run={() => download(`/audit/export?format=jsonl&${range}`, "audit.jsonl")}
          >
            JSONL
          </Action>
        </div>
      }
    >
      <div class="filters">
        {Object.entries(TEXTS).map(([name, label]) => (
          <TextField
            key={name}
            label={label}
            value={query.get(name) ?? ""}
            onInput={(value) => filter({ [name]: value })}
            placeholder={name === "action" ? "tasks.execute" : undefined}
          />
        ))}
        {Object.keys(TIMES).map((name) => (
          <TextField
            key={name}
            label={name === "after" ? "From (your time zone)" : "Until"}
            type="datetime-local"
            value={query.get(name) ?? ""}
            onInput={(value) => filter({ [name]: value })}
          />
        ))}
      </div>
      <Shown of={list}>
        {({ entries, pagination }) =>
          entries.length === 0 ? (
            <Empty>{search ? "No entry matches." : "No entry yet."}</Empty>
          ) : (
            <>
              <Table
                label="Audit log"
                isStacked
                columns={[
                  { name: "Time" },
                  { name: "Action" },
                  { name: "Target", class: "wrap" },
                  { name: "Key" },
                  { name: "From" },
                  { name: "Request", class: "wrap" },
                ]}
                rows={entries.map((entry) => ({ key: String(entry.id), cells: cellsOf(entry) }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

function cellsOf({ time, action, target, keyId, address, options, requestId }: AuditEntry) {
  const given = options && new URLSearchParams(options).toString();
  return [
    <ExactTime at={time} />,
    <a href={href(["audit"], { action })}>{action}</a>,
    target || given ? (
      <div>
        {target && <a href={href(["audit"], { target })}>{target}</a>}
        {given && <div class="hint">{given}</div>}
      </div>
    ) : (
      ""
    ),
    <a href={href(["audit"], { keyId })}>{keyId}</a>,
    address ?? "",
    <span class="quiet">{requestId}</span>,
  ];
}

/** The query for the API, with times converted from the reader's time zone. */
function searchOf(query: URLSearchParams): string {
  const search = new URLSearchParams(rangeOf(query));
  for (const name of Object.keys(TEXTS)) {
    const value = query.get(name)?.trim();
    if (value) search.set(name, value);
  }
  return search.toString();
}

function rangeOf(query: URLSearchParams): string {
  const range = new URLSearchParams();
  for (const [name, parameter] of Object.entries(TIMES)) {
    const at = new Date(query.get(name) ?? "");
    if (!Number.isNaN(at.getTime())) range.set(parameter, at.toISOString());
  }
  return range.toString();
}

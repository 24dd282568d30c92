import { may } from "../api/client.ts";
import type { Page, Schedule } from "../api/wire.ts";
import { schedules as live } from "../live/state.ts";
import { href, replaceQuery, route } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { SelectField, TextField } from "../ui/field.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { useSettled } from "../ui/settled.ts";
import { Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";
import { Enable, RunNow, State } from "./actions.tsx";

export function ScheduleList() {
  const { query } = route.value;
  const [name, active] = [query.get("name") ?? "", query.get("active") ?? ""];
  const cursor = useCursor();
  const search = new URLSearchParams({ limit: "25", sort: "name", order: "asc" });
  const wanted = useSettled(name);
  if (wanted) search.set("name", wanted);
  if (active) search.set("isActive", active);
  const list = useResource<Page<"tasks", Schedule>>(
    `/scheduled-tasks?${search}${cursor.query}`,
    live.value?.revision,
  );
  const filter = (changes: Record<string, string>) =>
    replaceQuery({ ...changes, cursor: undefined, page: undefined });
  return (
    <Card
      id="schedules"
      title="Schedules"
      isWide
      note={
        may("write") && (
          <a class="button small primary" href="#/schedules/new">
            New schedule
          </a>
        )
      }
    >
      <div class="filters">
        <TextField
          label="Name contains"
          value={name}
          onInput={(value) => filter({ name: value })}
        />
        <SelectField
          label="State"
          value={active}
          onInput={(value) => filter({ active: value })}
          options={[
            ["", "any"],
            ["true", "active"],
            ["false", "disabled"],
          ]}
        />
      </div>
      <Shown of={list}>
        {({ tasks, pagination }) =>
          tasks.length === 0 ? (
            <Empty>
              {name || active
                ? "No schedule matches."
                : "No schedule yet. One makes a batch of a file at the times of a cron expression."}
            </Empty>
          ) : (
            <>
              <Schedules all={tasks} refresh={list.refresh} />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
    </Card>
  );
}

function Schedules({ all, refresh }: { all: Schedule[]; refresh: () => void }) {
  return (
    <Table
      label="Schedules"
      isStacked
      columns={[
        { name: "Schedule", class: "name" },
        { name: "State" },
        { name: "Last run" },
        { name: "Next run" },
        { name: "Actions", class: "act", hidden: true },
      ]}
      rows={all.map((one) => ({
        key: one.id,
        cells: [
          <>
            <a href={href(["schedules", one.id])} dir="auto">
              {one.name}
            </a>
            <div class="hint">
              {one.schedule} · {one.timezone}
            </div>
          </>,
          <State of={one} />,
          <span>
            {one.lastRunStatus && <Badge status={one.lastRunStatus} />}{" "}
            <Ago at={one.lastRun} none="never" />
          </span>,
          <Ago at={one.nextRun} />,
          <div class="buttons">
            <RunNow of={one} refresh={refresh} />
            <Enable of={one} refresh={refresh} />
          </div>,
        ],
      }))}
    />
  );
}

import { useState } from "preact/hooks";

import { may, post } from "../api/client.ts";
import type { Page, Schedule } from "../api/wire.ts";
import { schedules as live } from "../live/state.ts";
import { go, href, route } from "../shell/router.ts";
import { Badge } from "../ui/badge.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Pager, useCursor } from "../ui/pager.tsx";
import { Card, Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { num, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";
import { ScheduleActions } from "./actions.tsx";
import { ScheduleForm } from "./form.tsx";
import { SchedulePage } from "./schedule.tsx";
import { sentenceOf } from "./times.ts";

export function Schedules() {
  const [, id] = route.value.parts;
  return id === undefined ? <AllSchedules /> : <SchedulePage key={id} id={id} />;
}

function AllSchedules() {
  const cursor = useCursor();
  const [isOpen, setOpen] = useState(false);
  const list = useResource<Page<"tasks", Schedule>>(
    `/scheduled-tasks?limit=25${cursor.query}`,
    live.value?.revision,
  );
  return (
    <Card
      id="schedules"
      title="Schedules"
      isWide
      note={
        may("write") && (
          <button type="button" class="small primary" onClick={() => setOpen(true)}>
            New schedule
          </button>
        )
      }
    >
      <Shown of={list}>
        {({ tasks, pagination }) =>
          tasks.length === 0 ? (
            <Empty>
              No schedule yet. Prepare a run and save it as a schedule, or make one of a file that a
              program writes.
            </Empty>
          ) : (
            <>
              <Table
                columns={[
                  { name: "Schedule", class: "name" },
                  { name: "When", class: "wrap" },
                  { name: "Last run" },
                  num("Next run"),
                  { name: "Actions", hidden: true },
                ]}
                rows={tasks.map((schedule) => ({
                  key: schedule.id,
                  cells: [
                    <a href={href(["schedules", schedule.id])} dir="auto">
                      {schedule.name}
                    </a>,
                    <>
                      {sentenceOf(schedule.schedule)} <span class="quiet">{schedule.timezone}</span>
                      {schedule.pauseReason && <div class="error">{schedule.pauseReason}</div>}
                    </>,
                    schedule.lastRun ? (
                      <>
                        <Ago at={schedule.lastRun} />{" "}
                        {schedule.lastRunStatus && <Badge status={schedule.lastRunStatus} />}
                      </>
                    ) : (
                      <span class="quiet">never</span>
                    ),
                    schedule.isActive ? <Ago at={schedule.nextRun} /> : <Badge status="paused" />,
                    <div class="buttons">
                      <ScheduleActions schedule={schedule} refresh={list.refresh} />
                    </div>,
                  ],
                }))}
              />
              <Pager cursor={cursor} of={pagination} />
            </>
          )
        }
      </Shown>
      {isOpen && (
        <Dialog title="New schedule" onClose={() => setOpen(false)}>
          <ScheduleForm
            first={{}}
            submitName="Create the schedule"
            onCancel={() => setOpen(false)}
            submit={async (fields) => {
              const made = await post<Schedule>("/scheduled-tasks", fields);
              go(href(["schedules", made.id]));
            }}
          />
        </Dialog>
      )}
    </Card>
  );
}

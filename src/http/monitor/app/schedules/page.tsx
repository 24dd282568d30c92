import type { Schedule } from "../api/wire.ts";
import { route } from "../shell/router.ts";
import { Scoped } from "../shell/sections.tsx";
import { Card, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { ScheduleForm } from "./form.tsx";
import { ScheduleList } from "./list.tsx";
import { ScheduleView } from "./schedule.tsx";

/** `#/schedules`, `#/schedules/new`, `#/schedules/ID` and `#/schedules/ID/edit`. */
export function Schedules() {
  const [, id, verb] = route.value.parts;
  if (id === undefined) return <ScheduleList />;
  if (id === "new" || verb === "edit")
    return (
      <Scoped needs="write" what={id === "new" ? "New schedule" : "Change a schedule"}>
        {id === "new" ? <ScheduleForm /> : <ChangeSchedule key={id} id={id} />}
      </Scoped>
    );
  return <ScheduleView key={id} id={id} />;
}

function ChangeSchedule({ id }: { id: string }) {
  const schedule = useResource<Schedule>(`/scheduled-tasks/${encodeURIComponent(id)}`);
  // The form is not shown before the schedule is loaded; it would save an empty schedule.
  return schedule.data ? (
    <ScheduleForm schedule={schedule.data} />
  ) : (
    <Card id="change" title="Change a schedule">
      <Shown of={schedule}>{() => null}</Shown>
    </Card>
  );
}

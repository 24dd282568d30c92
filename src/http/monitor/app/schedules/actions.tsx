import { call, may, post } from "../api/client.ts";
import type { Schedule } from "../api/wire.ts";
import { go } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { toast } from "../ui/toast.tsx";

type ActionProps = { schedule: Schedule; refresh: () => void };

export function ScheduleActions({ schedule, refresh }: ActionProps) {
  const { id, name, isActive } = schedule;
  const path = `/scheduled-tasks/${encodeURIComponent(id)}`;
  if (!may("write")) return null;
  const does = (verb: string, told: string) => async () => {
    await post(`${path}/${verb}`);
    toast(`${name}: ${told}`);
    refresh();
  };
  return (
    <>
      <Action label={`Run now: ${name}`} run={does("run", "started")}>
        Run now
      </Action>
      <Action
        key="switch"
        label={`${isActive ? "Pause" : "Resume"} ${name}`}
        run={isActive ? does("disable", "paused") : does("enable", "goes on")}
      >
        {isActive ? "Pause" : "Resume"}
      </Action>
      <Action
        label={`Delete ${name}`}
        sure="Really?"
        run={async () => {
          await call("DELETE", path);
          toast(`${name} is deleted`);
          go("#/schedules");
          refresh();
        }}
      >
        Delete
      </Action>
    </>
  );
}

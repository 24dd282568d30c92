import { may, post, remove } from "../api/client.ts";
import type { Run, Schedule } from "../api/wire.ts";
import { go, href } from "../shell/router.ts";
import { Action } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { AskFirst } from "../ui/confirm.tsx";
import { toast } from "../ui/toast.tsx";

export const pathOf = (id: string): string => `/scheduled-tasks/${encodeURIComponent(id)}`;

export function State({ of: { isActive, pauseReason } }: { of: Schedule }) {
  if (isActive) return <Badge status="active" />;
  return pauseReason ? (
    <Badge status="failed">stopped</Badge>
  ) : (
    <Badge status="pending">disabled</Badge>
  );
}

type Props = { of: Schedule; refresh: () => void };

export function RunNow({ of: { id, name }, refresh }: Props) {
  if (!may("write")) return null;
  return (
    <Action
      label={`Run now: ${name}`}
      run={async () => {
        await post<Run>(`${pathOf(id)}/run`);
        toast(`${name}: a run has started`);
        refresh();
      }}
    >
      Run now
    </Action>
  );
}

export function Enable({ of: { id, name, isActive }, refresh }: Props) {
  if (!may("write")) return null;
  return (
    <Action
      label={`${isActive ? "Disable" : "Enable"} ${name}`}
      run={async () => {
        await post(`${pathOf(id)}/${isActive ? "disable" : "enable"}`);
        toast(`${name}: ${isActive ? "disabled" : "enabled"}`);
        refresh();
      }}
    >
      {isActive ? "Disable" : "Enable"}
    </Action>
  );
}

export function ChangeAndDelete({ of: { id, name } }: { of: Schedule }) {
  if (!may("write")) return null;
  return (
    <>
      <a class="button small" href={href(["schedules", id, "edit"])}>
        Change
      </a>
      <AskFirst
        verb="Delete"
        name={name}
        run={async () => {
          await remove(pathOf(id));
          toast(`${name} is deleted`);
          go("#/schedules");
        }}
      >
        It will not fire again, and its run history is deleted. The batches of its runs remain, and
        running ones continue.
      </AskFirst>
    </>
  );
}

import type { ComponentChildren } from "preact";

import { may, post } from "../api/client.ts";
import type { TimesPreview, Schedule } from "../api/wire.ts";
import { schedules as live } from "../live/state.ts";
import { Action } from "../ui/action.tsx";
import { duration, money } from "../ui/format.ts";
import { Empty, Shown } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { Facts } from "../ui/table.tsx";
import { Ago, Time } from "../ui/time.tsx";
import { toast } from "../ui/toast.tsx";
import { ChangeAndDelete, Enable, pathOf, RunNow, State } from "./actions.tsx";
import { Runs } from "./runs.tsx";
import { OVERLAPS, previewPath } from "./words.ts";

/** A schedule: its times, its input, and its runs. */
export function ScheduleView({ id }: { id: string }) {
  const schedule = useResource<Schedule>(pathOf(id), live.value?.revision);
  return (
    <>
      <section class="card" aria-labelledby="schedule-title">
        <header>
          <h2 id="schedule-title" dir="auto">
            {schedule.data?.name ?? "Schedule"}
          </h2>
          {schedule.data && (
            <div class="actions">
              <State of={schedule.data} />
              <RunNow of={schedule.data} refresh={schedule.refresh} />
              <DryRun of={schedule.data} refresh={schedule.refresh} />
              <Enable of={schedule.data} refresh={schedule.refresh} />
              <ChangeAndDelete of={schedule.data} />
            </div>
          )}
        </header>
        <div class="panel">
          <Shown of={schedule}>{(data) => <About schedule={data} />}</Shown>
        </div>
      </section>
      {schedule.data && <Runs id={id} />}
    </>
  );
}

function DryRun({ of: { id, name, isDryRun }, refresh }: { of: Schedule; refresh: () => void }) {
  if (!may("write") || isDryRun) return null;
  return (
    <Action
      label={`Dry run: ${name}`}
      title="The simulator answers, at no cost"
      run={async () => {
        await post(`${pathOf(id)}/run`, { isDryRun: true });
        toast(`${name}: a dry run has started`);
        refresh();
      }}
    >
      Dry run
    </Action>
  );
}

function About({ schedule: one }: { schedule: Schedule }) {
  const preview = useResource<TimesPreview>(previewPath(one.schedule, one.timezone));
  const { promptTemplate, model, maxCostUsd, ...others } = one.config;
  return (
    <>
      {one.pauseReason && <p class="error">{one.pauseReason}</p>}
      {one.description && <p dir="auto">{one.description}</p>}
      <Facts
        pairs={[
          ["Fires", preview.data?.sentence],
          ["Schedule", `${one.schedule} (${one.timezone})`],
          ["Input", one.inputFile],
          ["Output", one.outputFile],
          ["Model", text(model)],
          ["Cost of a run", typeof maxCostUsd === "number" && `at most ${money(maxCostUsd)}`],
          ["If one runs", OVERLAPS[one.overlapPolicy]],
          ["Catches up", `within ${duration(one.catchUpWindowSeconds)}`],
          ["Stops after", one.pauseAfterFailures && `${one.pauseAfterFailures} failures in a row`],
          ["Dry run", one.isDryRun && "yes: the simulator answers"],
          ["Settings", Object.keys(others).length > 0 && JSON.stringify(others)],
          ["Changed", <Time at={one.updatedAt} />],
          ["Id", one.id],
        ]}
      />
      {typeof promptTemplate === "string" && (
        <>
          <h3>Prompt template</h3>
          <pre dir="auto">{promptTemplate}</pre>
        </>
      )}
      <h3>Next times</h3>
      <NextTimes at={one.nextRuns} />
    </>
  );
}

const text = (value: unknown): ComponentChildren => (typeof value === "string" ? value : "");

export function NextTimes({ at }: { at: string[] }) {
  if (at.length === 0) return <Empty>It does not fire.</Empty>;
  return (
    <ol class="times">
      {at.map((one) => (
        <li key={one}>
          <Time at={one} />{" "}
          <span class="quiet">
            <Ago at={one} />
          </span>
        </li>
      ))}
    </ol>
  );
}

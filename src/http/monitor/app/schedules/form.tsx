import { useState } from "preact/hooks";

import { patch, post } from "../api/client.ts";
import type { Page, Schedule, StoredFile } from "../api/wire.ts";
import { files as live } from "../live/state.ts";
import { go, href } from "../shell/router.ts";
import { status } from "../shell/status.ts";
import { CheckField, SelectField, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { useResource } from "../ui/resource.ts";
import { toast } from "../ui/toast.tsx";
import { pathOf } from "./actions.tsx";
import { type Draft, toBody, toDraft } from "./draft.ts";
import { Timing } from "./timing.tsx";
import { OVERLAPS } from "./words.ts";

type PartProps = {
  draft: Draft;
  /** Sets a field. */
  set: <K extends keyof Draft>(name: K) => (value: Draft[K]) => void;
};

/** Makes a schedule, or changes one. */
export function ScheduleForm({ schedule }: { schedule?: Schedule }) {
  const [draft, setDraft] = useState(() => toDraft(schedule));
  const set: PartProps["set"] = (name) => (value) =>
    setDraft((before) => ({ ...before, [name]: value }));
  const back = href(schedule ? ["schedules", schedule.id] : ["schedules"]);
  async function submit(): Promise<void> {
    const body = toBody(draft);
    const { id } = schedule
      ? await patch<Schedule>(pathOf(schedule.id), body)
      : await post<Schedule>("/scheduled-tasks", body);
    toast(`${draft.name}: ${schedule ? "changed" : "created"}`);
    go(href(["schedules", id]));
  }
  return (
    <section class="card narrow" aria-labelledby="schedule-form">
      <header>
        <h2 id="schedule-form" dir="auto">
          {schedule ? `Change ${schedule.name}` : "New schedule"}
        </h2>
      </header>
      <div class="panel">
        <Form submitName={schedule ? "Save" : "Create"} onCancel={() => go(back)} submit={submit}>
          <TextField label="Name" name="name" value={draft.name} onInput={set("name")} isRequired />
          <Timing
            schedule={draft.schedule}
            timezone={draft.timezone}
            onSchedule={set("schedule")}
            onTimezone={set("timezone")}
          />
          <Work draft={draft} set={set} />
          <details>
            <summary>More settings</summary>
            <More draft={draft} set={set} />
          </details>
        </Form>
      </div>
    </section>
  );
}

/** The settings of each run. */
function Work({ draft, set }: PartProps) {
  const files = useResource<Page<"files", StoredFile>>("/files?limit=100", live.value?.revision);
  return (
    <>
      <div class="two">
        <TextField
          label="Input file"
          name="inputFile"
          hint="An upload's id, or a path in the files folder; read again for each run"
          value={draft.inputFile}
          onInput={set("inputFile")}
          list="uploads"
          isRequired
        />
        <datalist id="uploads">
          {files.data?.files.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </datalist>
        <TextField
          label="Output file"
          name="outputFile"
          hint="In the files folder; {{date}}, {{time}} and {{runId}} may be in its name"
          value={draft.outputFile}
          onInput={set("outputFile")}
          placeholder="reports/{{date}}.csv"
        />
      </div>
      <TextField
        label="Prompt template"
        name="config.promptTemplate"
        hint="Columns in double braces; optional where there is a column called prompt"
        value={draft.promptTemplate}
        onInput={set("promptTemplate")}
        rows={4}
        placeholder="What is new in {{city}}?"
      />
      <div class="two">
        <TextField
          label="Model"
          name="config.model"
          value={draft.model}
          onInput={set("model")}
          placeholder={status.value?.provider.defaultModel}
        />
        <TextField
          label="A run costs at most (USD)"
          name="config.maxCostUsd"
          type="number"
          value={draft.maxCostUsd}
          onInput={set("maxCostUsd")}
          placeholder="no limit"
        />
      </div>
    </>
  );
}

function More({ draft, set }: PartProps) {
  return (
    <div class="stack">
      <TextField
        label="Description"
        name="description"
        value={draft.description}
        onInput={set("description")}
        rows={2}
      />
      <TextField
        label="System prompt"
        name="config.systemPrompt"
        value={draft.systemPrompt}
        onInput={set("systemPrompt")}
        rows={3}
      />
      <SelectField
        label="If the previous run has not ended"
        name="overlapPolicy"
        value={draft.overlapPolicy}
        onInput={(value) => set("overlapPolicy")(value as Draft["overlapPolicy"])}
        options={Object.entries(OVERLAPS)}
      />
      <div class="two">
        <TextField
          label="Catches up within (minutes)"
          name="catchUpWindowSeconds"
          hint="The latest missed run is made up for if it is not older than this"
          type="number"
          value={draft.catchUpMinutes}
          onInput={set("catchUpMinutes")}
        />
        <TextField
          label="Stops after failures in a row"
          name="pauseAfterFailures"
          type="number"
          value={draft.pauseAfterFailures}
          onInput={set("pauseAfterFailures")}
          placeholder="never"
        />
      </div>
      <TextField
        label="Other settings of the batch (JSON)"
        name="config"
        value={draft.others}
        onInput={set("others")}
        rows={3}
        placeholder={'{"temperature": 0.2, "maxConcurrency": 10}'}
      />
      <CheckField
        label="Dry runs: the simulator answers, at no cost"
        checked={draft.isDryRun}
        onInput={set("isDryRun")}
      />
    </div>
  );
}

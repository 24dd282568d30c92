import { useState } from "preact/hooks";

import { post } from "../api/client.ts";
import type { Schedule } from "../api/wire.ts";
import { toBody, toDraft } from "../schedules/draft.ts";
import { Timing } from "../schedules/timing.tsx";
import { go, href } from "../shell/router.ts";
import { Dialog } from "../ui/dialog.tsx";
import { TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { draft } from "./draft.ts";

/** Saves the same work as a schedule. */
export function SaveSchedule({ config, close }: { config: object; close: () => void }) {
  const { file, name, isDryRun } = draft.value;
  const [fields, setFields] = useState(() => ({
    ...toDraft(undefined),
    name: name || (file?.name ?? ""),
    inputFile: file?.id ?? "",
    isDryRun,
  }));
  const set = (field: "name" | "schedule" | "timezone" | "outputFile") => (value: string) =>
    setFields((before) => ({ ...before, [field]: value }));
  async function submit(): Promise<void> {
    const { id } = await post<Schedule>("/scheduled-tasks", { ...toBody(fields), config });
    go(href(["schedules", id]));
  }
  return (
    <Dialog title="Save as schedule" onClose={close}>
      <Form submitName="Create the schedule" onCancel={close} submit={submit}>
        <TextField label="Name" name="name" value={fields.name} onInput={set("name")} isRequired />
        <Timing
          schedule={fields.schedule}
          timezone={fields.timezone}
          onSchedule={set("schedule")}
          onTimezone={set("timezone")}
        />
        <TextField
          label="Output file"
          name="outputFile"
          hint="In the files folder; {{date}}, {{time}} and {{runId}} may be in its name"
          value={fields.outputFile}
          onInput={set("outputFile")}
          placeholder="reports/{{date}}.csv"
        />
      </Form>
    </Dialog>
  );
}

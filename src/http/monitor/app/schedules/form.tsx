import { useState } from "preact/hooks";

import type { Schedule } from "../api/wire.ts";
import { CheckField, SelectField, TextField } from "../ui/field.tsx";
import { Form } from "../ui/form.tsx";
import { Time } from "../ui/time.tsx";
import {
  DAYS,
  expressionOf,
  nextTimes,
  ownZone,
  type Rhythm,
  RHYTHMS,
  sentenceOf,
  type When,
} from "./times.ts";

type ScheduleFields = Pick<
  Schedule,
  "name" | "schedule" | "timezone" | "inputFile" | "isDryRun"
> & { outputFile: string | null };

type Props = {
  first: Partial<ScheduleFields>;
  submitName: string;
  submit: (fields: ScheduleFields) => Promise<void>;
  onCancel: () => void;
};

/** When and with what: with the sentence that it comes to, and the next five times. */
export function ScheduleForm({ first, submitName, submit, onCancel }: Props) {
  const [name, setName] = useState(first.name ?? "");
  const [inputFile, setInput] = useState(first.inputFile ?? "");
  const [outputFile, setOutput] = useState(first.outputFile ?? "");
  const [timezone, setZone] = useState(first.timezone ?? ownZone());
  const [isDryRun, setDryRun] = useState(first.isDryRun ?? false);
  const [when, setWhen] = useState<When>({
    rhythm: first.schedule ? "cron" : "weekdays",
    time: "09:00",
    day: "1",
    date: "1",
    cron: first.schedule ?? "0 9 * * *",
  });
  const change = (changes: Partial<When>) => setWhen({ ...when, ...changes });
  const schedule = expressionOf(when);
  const { times, error } = nextTimes(schedule, timezone);
  return (
    <Form
      submitName={submitName}
      onCancel={onCancel}
      isDisabled={error !== ""}
      submit={() =>
        submit({
          name,
          schedule,
          timezone,
          inputFile,
          isDryRun,
          outputFile: outputFile.trim() || null,
        })
      }
    >
      <TextField label="Name" value={name} onInput={setName} isRequired />
      <div class="two">
        <SelectField
          label="Runs"
          value={when.rhythm}
          options={RHYTHMS}
          onInput={(rhythm) => change({ rhythm: rhythm as Rhythm })}
        />
        {when.rhythm === "cron" ? (
          <TextField
            label="Cron expression"
            value={when.cron}
            onInput={(cron) => change({ cron })}
            isRequired
          />
        ) : (
          <TextField
            label={when.rhythm === "hourly" ? "At (minutes count)" : "At"}
            type="time"
            value={when.time}
            onInput={(time) => change({ time })}
          />
        )}
        {when.rhythm === "weekly" && (
          <SelectField
            label="Day"
            value={when.day}
            options={DAYS.map((day, i) => [String(i), day] as const)}
            onInput={(day) => change({ day })}
          />
        )}
        {when.rhythm === "monthly" && (
          <TextField
            label="Day of the month"
            type="number"
            value={when.date}
            onInput={(date) => change({ date })}
          />
        )}
        <TextField label="Time zone" value={timezone} onInput={setZone} isRequired />
      </div>
      <div class="sentence" role="status">
        <strong>
          {error || sentenceOf(schedule)} {!error && `(${timezone})`}
        </strong>
        {times.length > 0 && (
          <ol class="hint">
            {times.map((at) => (
              <li key={at}>
                <Time at={at} />
              </li>
            ))}
          </ol>
        )}
      </div>
      <TextField
        label="Input file"
        value={inputFile}
        onInput={setInput}
        isRequired
        hint="The id of an upload, a file in the files folder, or an https address"
      />
      <TextField
        label="Output file (optional)"
        value={outputFile}
        onInput={setOutput}
        placeholder="results-{{date}}.csv"
      />
      <CheckField label="Dry run: the simulator answers" checked={isDryRun} onInput={setDryRun} />
    </Form>
  );
}

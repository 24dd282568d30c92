import type { TimesPreview } from "../api/wire.ts";
import { SelectField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { useSettled } from "../ui/settled.ts";
import { NextTimes } from "./schedule.tsx";
import { previewPath, USUAL } from "./words.ts";

type Props = {
  schedule: string;
  timezone: string;
  onSchedule: (schedule: string) => void;
  onTimezone: (timezone: string) => void;
};

/** The times of a schedule, with the server's explanation. */
export function Timing({ schedule, timezone, onSchedule, onTimezone }: Props) {
  const isUsual = USUAL.some(([expression]) => expression === schedule);
  return (
    <>
      <div class="two">
        <SelectField
          label="How often"
          value={isUsual ? schedule : ""}
          onInput={(value) => value && onSchedule(value)}
          options={[["", "as written below"], ...USUAL]}
        />
        <TextField
          label="Time zone"
          name="timezone"
          value={timezone}
          onInput={onTimezone}
          list="timezones"
          isRequired
        />
        <datalist id="timezones">
          {Intl.supportedValuesOf("timeZone").map((zone) => (
            <option key={zone} value={zone} />
          ))}
        </datalist>
      </div>
      <TextField
        label="Cron expression"
        name="schedule"
        hint="Minute, hour, day of month, month, day of week; or six fields, with seconds first"
        value={schedule}
        onInput={onSchedule}
        isRequired
      />
      <WhatItMeans schedule={schedule} timezone={timezone} />
    </>
  );
}

function WhatItMeans(given: { schedule: string; timezone: string }) {
  const path = previewPath(given.schedule.trim(), given.timezone.trim());
  const isWhole = given.schedule.trim() !== "" && given.timezone.trim() !== "";
  const preview = useResource<TimesPreview>(useSettled(isWhole ? path : null));
  if (!isWhole) return null;
  return (
    <div class="preview" role="status" aria-label="What the expression means">
      {preview.error ? (
        <p class="error">{preview.error.message}</p>
      ) : preview.data ? (
        <>
          <p>
            <strong>{preview.data.sentence ?? "It fires at these times"}</strong>{" "}
            <span class="quiet">({preview.data.timezone}); next, in your time zone:</span>
          </p>
          <NextTimes at={preview.data.nextRuns} />
        </>
      ) : (
        <Loading />
      )}
    </div>
  );
}

import { z } from "zod";

import { OVERLAP_POLICIES } from "./schedule.ts";
import { BatchConfig } from "./task-input.ts";
import { Description, FilePath, Name } from "./text.ts";

const DESCRIPTIONS = {
  schedule:
    "Cron: five fields (minute, hour, day of month, month, day of week), or six with seconds first; names, " +
    "ranges, steps, lists, `L`, `#`, or a nickname such as `@daily`. Where the clock is put forward, a fixed " +
    "time that is skipped fires at the first moment after the gap; where it is put back, a fixed time that " +
    "comes twice fires once, at the first. `*` and steps go by elapsed time",
  inputFile: "A file in the files folder; it need not be there yet",
  outputFile:
    "Where each run's results go, in the files folder. `{{date}}`, `{{time}}` (of the scheduled time, in the " +
    "time zone; the second `02-30-00` of an autumn night is `02-30-00b`, and a run on request that may overlap has milliseconds: " +
    "`02-30-00-123`) and `{{runId}}` may be in its name; " +
    "without, each run replaces the file of the one before, which `overlapPolicy` `allow` does not permit",
  overlapPolicy:
    "What a fire does while the run before has not ended: `skip` it, `queue` it, `allow` both, or " +
    "`cancel_previous`",
  catchUpWindowSeconds:
    "Of the missed fires, the latest runs if it is not older than this; the others are recorded as missed",
  pauseAfterFailures: "Failed runs in a row that stop the schedule, with a `system.alert`",
};

const MAX_WINDOW_SECONDS = 31 * 24 * 3600;

export const OverlapPolicy = z
  .enum(OVERLAP_POLICIES)
  .meta({ "x-name": "OverlapPolicy", description: DESCRIPTIONS.overlapPolicy });

/** What a schedule is, as a client describes it. */
export const ScheduleFields = {
  name: Name,
  description: Description.nullable(),
  schedule: z.string().max(500).meta({ description: DESCRIPTIONS.schedule, example: "0 9 * * *" }),
  timezone: z.string().min(1).max(100).meta({
    description: "IANA time zone that the schedule is read in",
    example: "Europe/Berlin",
  }),
  inputFile: FilePath.meta({ description: DESCRIPTIONS.inputFile }),
  outputFile: FilePath.nullable().meta({
    description: DESCRIPTIONS.outputFile,
    example: "results-{{date}}.csv",
  }),
  isDryRun: z.boolean().meta({
    description: "Let the simulator answer; costs are then estimates",
  }),
  isActive: z.boolean(),
  config: BatchConfig,
  overlapPolicy: OverlapPolicy,
  catchUpWindowSeconds: z
    .number()
    .int()
    .min(0)
    .max(MAX_WINDOW_SECONDS)
    .meta({ description: DESCRIPTIONS.catchUpWindowSeconds }),
  pauseAfterFailures: z
    .number()
    .int()
    .min(1)
    .max(1000)
    .nullable()
    .meta({ description: DESCRIPTIONS.pauseAfterFailures }),
};

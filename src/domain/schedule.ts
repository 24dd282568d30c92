import { dueFires } from "./cron.ts";
import { parseTemplate } from "./template.ts";

export const OVERLAP_POLICIES = ["skip", "queue", "allow", "cancel_previous"] as const;
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/**
 * A run is one fire of a schedule, or was requested by a client. `pending` has fired and is about to begin, `queued`
 * waits for the run before it, `running` has a batch. `skipped` found the run before it still running, `missed` was
 * detected too late; neither ever begins.
 */
export const RUN_STATUSES = [
  "pending",
  "queued",
  "running",
  "completed",
  "failed",
  "cancelled",
  "skipped",
  "missed",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
/** How a run that began can end. */
export type RunOutcome = "completed" | "failed" | "cancelled";

export const RUN_CAUSES = ["schedule", "catch_up", "manual"] as const;
export type RunCause = (typeof RUN_CAUSES)[number];

/** Runs that wait for the one before; a further fire is skipped. */
export const MOST_QUEUED = 100;

/** Why a run failed; `details` are those of the API's answer to the same error. */
export type RunError = { code: string; message: string; details?: Record<string, unknown> };

/** A fire that is detected within this time is punctual, whatever `catchUpWindowSeconds` is. */
const ON_TIME_MS = 10_000;

type Fire = {
  at: number;
  cause: Exclude<RunCause, "manual">;
  /** Why it was missed; `null` if it is to run. */
  missed: string | null;
};

export type FirePlan = { fires: Fire[]; next: number | null };

type Timed = {
  expression: string;
  timezone: string;
  nextRun: number;
  catchUpWindowMs: number;
};

/**
 * Plans the fires of a schedule that is due: the newest fire runs, unless it is older than the window; all before it
 * are missed. If more than `most` are due, the earliest of them share one entry.
 */
export function planFires(schedule: Timed, nowMs: number, most = 100): FirePlan {
  const { fires: due, omitted, next } = dueFires(schedule, schedule.nextRun, nowMs, most);
  const newest = due.at(-1) ?? schedule.nextRun;
  const late = nowMs - newest;
  const shallRun = late <= Math.max(ON_TIME_MS, schedule.catchUpWindowMs);
  const tooLate = `Due ${seconds(late)} ago, which is more than the catch-up window of ${seconds(schedule.catchUpWindowMs)}`;
  const unseen = "Not fired in time: the program was down or busy, or the clock was changed";
  const older = shallRun ? `${unseen}. A later fire ran instead` : unseen;
  const fires = due.map((at): Fire => {
    const isNewest = at === newest;
    return {
      at,
      cause: isNewest && shallRun && late > ON_TIME_MS ? "catch_up" : "schedule",
      missed: isNewest ? (shallRun ? null : tooLate) : older,
    };
  });
  if (!omitted) return { fires, next };
  const range = `${iso(omitted.from)} to ${iso(omitted.to)}`;
  return {
    fires: [
      { at: omitted.from, cause: "schedule", missed: `${older}. Stands for all from ${range}` },
      ...fires,
    ],
    next,
  };
}

const NAME_VARIABLES = ["date", "time", "runId"] as const;

type NameValues = {
  at: number;
  timezone: string;
  runId: string;
  /** The time has milliseconds, because several runs may have the same second. */
  isExact?: boolean;
};

/** Clocks are put back by an hour, by half of one (Lord Howe Island), by two (Troll), or by three (Casey). */
const CLOCK_CHANGES_MS = [3_600_000, 1_800_000, 7_200_000, 10_800_000];

/**
 * The name of a results file: `{{date}}` (2025-01-31), `{{time}}` (09-00-00) and `{{runId}}` filled in, date and time
 * being those of the schedule's zone. A time that occurs a second time because clocks were put back has a name of its
 * own: `02-30-00b`.
 */
export function renderFileName(
  template: string,
  { at, timezone, runId, isExact = false }: NameValues,
): string {
  const { format } = new Intl.DateTimeFormat("sv-SE", {
    timeZone: timezone,
    dateStyle: "short",
    timeStyle: "medium",
  });
  const [date = "", time = ""] = format(at).split(" ");
  const isSecond = CLOCK_CHANGES_MS.some((change) => format(at - change) === format(at));
  const ms = isExact ? `-${String(at % 1000).padStart(3, "0")}` : "";
  const values = { date, time: `${time.replaceAll(":", "-")}${ms}${isSecond ? "b" : ""}`, runId };
  return parseTemplate(template).render(new Map(Object.entries(values)));
}

/** The results file of a run. One on request may overlap with others of the same second, and must not replace their files. */
export function nameOutput(
  template: string,
  { timezone, overlapPolicy }: { timezone: string; overlapPolicy: OverlapPolicy },
  { id, scheduledAt, cause }: { id: string; scheduledAt: number; cause: RunCause },
): string {
  const isExact = cause === "manual" && overlapPolicy === "allow";
  return renderFileName(template, { at: scheduledAt, timezone, runId: id, isExact });
}

/** Whether two runs that overlap write two files. */
export function namesEachRun(template: string): boolean {
  const { names } = parseTemplate(template);
  return names.includes("runId") || (names.includes("date") && names.includes("time"));
}

/** The unknown placeholders in a file's name. */
export function unknownNameVariables(template: string): string[] {
  const known: readonly string[] = NAME_VARIABLES;
  return parseTemplate(template).names.filter((name) => !known.includes(name));
}

/** The id of a run's batch: derived, so that a run which is begun twice has one batch. */
export function batchIdOfRun(runId: string): string {
  return runId.replace(/^run-/, "batch-");
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

import { Cron } from "croner";

/** A cron expression is invalid; the message says why. */
export class CronError extends Error {
  override readonly name = "CronError";
}

type Zoned = { expression: string; timezone: string };

const NICKNAMES = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

type Field = { name: string; min: number; max: number };
const FIELDS: readonly Field[] = [
  { name: "second", min: 0, max: 59 },
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12 },
  { name: "day of week", min: 0, max: 7 },
];

/**
 * Checks an expression: five fields (minute, hour, day of month, month, day of week), optionally with seconds before
 * them, or a nickname such as `@daily`. Throws `CronError`, also for a date that never comes, such as 30 February.
 */
export function requireCron({ expression, timezone }: Zoned): void {
  const text = expression.trim();
  const fields = text.split(/\s+/);
  if (text.startsWith("@")) {
    if (!NICKNAMES.includes(text.toLowerCase()))
      throw new CronError(`there is no ${text}; there are ${NICKNAMES.join(", ")}`);
  } else requireFields(fields);
  let next: Date | null;
  try {
    next = parse({ expression, timezone }).nextRun(new Date(0));
  } catch (error) {
    throw new CronError(explain(error, fields.length));
  }
  if (!next) throw new CronError("the date never comes; no month has such a day");
}

function requireFields(fields: string[]): void {
  if (fields.length !== 5 && fields.length !== 6)
    throw new CronError(
      `needs five fields (minute, hour, day of month, month, day of week), or six with seconds first, not ${fields.join("") === "" ? 0 : fields.length}`,
    );
  for (const [i, { name, min, max }] of FIELDS.slice(6 - fields.length).entries())
    for (const part of (fields[i] ?? "").split(",")) {
      if (part === "") throw new CronError(`${name}: there is nothing beside a comma`);
      // AWS and Quartz use other fields in the same positions, so such an expression would run at other times than
      // its author meant.
      if (part.includes("?"))
        throw new CronError(
          `${name}: "?" is of AWS and Quartz, whose fields are others; write minute, hour, day of month, month, day of week, with * for any`,
        );
      const [range = "", step] = part.split("/");
      if (step !== undefined && !(/^\d+$/.test(step) && Number(step) >= 1 && Number(step) <= max))
        throw new CronError(`${name}: the step ${step || "after /"} is not from 1 to ${max}`);
      for (const number of range.split(/[-#LW]/i, 2))
        if (/^\d+$/.test(number) && (Number(number) < min || Number(number) > max))
          throw new CronError(`${name}: ${number} is not from ${min} to ${max}`);
    }
}

/** Croner's error message without croner's class names; `count` is the number of fields. */
function explain(error: unknown, count: number): string {
  const message = error instanceof Error ? error.message : String(error);
  const [, entry, text] =
    /^CronPattern: configuration entry (\d+) \((.*)\) contains/.exec(message) ?? [];
  if (entry !== undefined)
    return `${FIELDS.at(Number(entry) - 1 - count)?.name ?? "field"}: ${text} is not understood`;
  return message
    .replace(/^CronPattern: /, "")
    .replace(/^Syntax error, /, "")
    .replace(/\.$/, "");
}

/** Whether a name is an IANA time zone that this runtime knows, such as `Europe/Berlin`. */
export function isTimezone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/**
 * The first fire time (Unix ms) after `afterMs`, or `null` if there is none. When clocks change it behaves as Vixie
 * cron: an expression whose hour and minute are fixed runs once a day, at the first moment after the gap where its
 * time is skipped, and at the first of the two where it comes twice; one with `*` or a step runs by elapsed time, so
 * never in the gap and in both of the hours.
 */
export function nextFire(zoned: Zoned, afterMs: number): number | null {
  return parse(zoned).nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** The first `count` times after `afterMs`. */
export function nextFires(zoned: Zoned, afterMs: number, count: number): number[] {
  return parse(zoned)
    .nextRuns(count, new Date(afterMs))
    .map((date) => date.getTime());
}

export type DueFires = {
  /** The fires from `since` to now, in order; if there are more than `most`, only the latest. */
  fires: number[];
  /** The first and the last of the fires before those. */
  omitted: { from: number; to: number } | null;
  /** The first fire after now. */
  next: number | null;
};

/** The fires that are due at `nowMs`, at most `most`, of a schedule whose next fire was planned for `since`. */
export function dueFires(zoned: Zoned, since: number, nowMs: number, most: number): DueFires {
  const job = parse(zoned);
  const fires = [since];
  for (let last = since; ;) {
    const next = job.nextRun(new Date(last))?.getTime() ?? null;
    if (next === null || next > nowMs) return { fires, omitted: null, next };
    if (fires.length === most) break;
    fires.push(next);
    last = next;
  }
  // Counted from the end, because a schedule that fires each second may have too many to go through.
  const end = new Date((Math.floor(nowMs / 1000) + 1) * 1000);
  const latest = job
    .previousRuns(most + 1, end)
    .map((date) => date.getTime())
    .toReversed();
  const [to = since, ...listed] = latest;
  const next = job.nextRun(new Date(nowMs))?.getTime() ?? null;
  return { fires: listed, omitted: { from: since, to }, next };
}

function parse({ expression, timezone }: Zoned): Cron {
  return new Cron(expression.trim(), {
    timezone,
    mode: "5-or-6-parts",
    fixedTimeRule: "no-wildcard",
    paused: true,
  });
}

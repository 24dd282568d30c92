import type { Schedule } from "../api/wire.ts";

export const OVERLAPS: Record<Schedule["overlapPolicy"], string> = {
  skip: "the next one is skipped",
  queue: "the next one waits",
  allow: "both run",
  cancel_previous: "it is cancelled for the next one",
};

/** Common expressions. */
export const USUAL = [
  ["*/15 * * * *", "every 15 minutes"],
  ["0 * * * *", "every hour"],
  ["0 9 * * *", "every day at 9"],
  ["0 9 * * MON-FRI", "on workdays at 9"],
  ["0 9 * * MON", "on Mondays at 9"],
  ["0 9 1 * *", "on the first of the month at 9"],
] as const;

export const previewPath = (schedule: string, timezone: string): string =>
  `/scheduled-tasks/preview?${new URLSearchParams({ schedule, timezone })}`;

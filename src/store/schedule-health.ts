import type { Statement } from "../db/unit.ts";

export type ScheduleHealth = { total: number; active: number; nextAt: number | null };

/** How many schedules there are, and when the next fire is or was due. */
export const SCHEDULE_HEALTH: Statement<ScheduleHealth> = {
  sql: `SELECT count(*) AS total, total(is_active) AS active,
               (SELECT min(next_run) FROM schedules WHERE next_run IS NOT NULL) AS nextAt
        FROM schedules`,
  args: [],
};

import type { Statement } from "../db/unit.ts";
import { IS_OPEN } from "./schedule-runs.ts";

/** Runs whose batch the server has paused: they wait for an operator. */
const STUCK = `FROM schedule_runs r
  JOIN batches b ON b.id = r.batch AND b.status = 'paused' AND b.pause_reason ->> 'code' <> 'requested'
  WHERE r.${IS_OPEN} AND r.status = 'running'`;

export type StuckRun = { id: string; schedule: string; name: string; batch: string; why: string };

/** Stuck runs without an open alert of their schedule. */
export const STUCK_WITHOUT_ALERT: Statement<StuckRun> = {
  sql: `SELECT k.id, s.id AS schedule, s.name, k.batch, k.why
        FROM (SELECT r.id, r.schedule, b.id AS batch, b.pause_reason ->> 'message' AS why ${STUCK}) k
          JOIN schedules s ON s.seq = k.schedule
        WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE code = 'schedule.paused' AND subject = s.id)`,
  args: [],
};

/** Schedules with an alert that were not paused themselves, and have no stuck run any more. */
export const UNSTUCK_SCHEDULES: Statement<{ id: string }> = {
  sql: `SELECT s.id FROM alerts a JOIN schedules s ON s.id = a.subject
        WHERE a.code = 'schedule.paused' AND s.pause_reason IS NULL
          AND s.seq NOT IN (SELECT r.schedule ${STUCK})`,
  args: [],
};

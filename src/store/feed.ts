import type { Statement } from "../db/unit.ts";
import { flexColumns } from "./flex.ts";
import { nextRun } from "./timeline.ts";

/** How far a batch was fed: up to which position, and the models whose tasks are skipped. */
export type FeedFrom = { batch: number; position: number; passedOver: string[] };

/** How far it came: the last position, and how many tasks it read up to there. */
export type FeedProgress = { batch: number; position: number | null; seen: number };

export type LaneReady = { lane: number; model: string; ready: number };

export type FeedUnit = {
  queued: Statement[];
  progress: Statement<FeedProgress>[];
  ready: Statement<LaneReady>[];
};

/**
 * Puts the next pending tasks of batches in their lanes, in input order, up to `limit` of each; returns
 * how far that came, and what is ready in the lanes then.
 */
export function feed(
  from: FeedFrom[],
  limit: number,
  { now, steadyNow }: { now: number; steadyNow: number },
): FeedUnit {
  const flex = flexColumns("t", { from: "coalesce(b.flex_from, ?)", isDryRun: "b.is_dry_run" });
  return {
    queued: from.map(({ batch, position, passedOver }) => ({
      sql: `INSERT INTO queue (task, lane, model, flex_until, priority, run, is_dry_run, queued_at, trace)
            SELECT * FROM (
              SELECT t.seq, t.batch, ${flex.model} AS model, ${flex.until}, t.priority, ${nextRun("t.run")}, b.is_dry_run,
                     coalesce(b.started_at, ?), b.trace
              FROM batches b CROSS JOIN tasks t ON t.batch = b.seq
              WHERE b.seq = ? AND b.status = 'running' AND t.status = 'pending' AND t.position > ?
              ORDER BY t.position LIMIT ?)
            WHERE model NOT IN (SELECT value FROM json_each(?))
            ON CONFLICT DO NOTHING`,
      args: [steadyNow, now, batch, position, limit, JSON.stringify(passedOver)],
    })),
    progress: from.map(({ batch, position }) => ({
      sql: `SELECT ? AS batch, max(position) AS position, count(*) AS seen FROM (
              SELECT position FROM tasks WHERE batch = ? AND status = 'pending' AND position > ?
              ORDER BY position LIMIT ?)`,
      args: [batch, batch, position, limit],
    })),
    ready: from.map(({ batch }) => ({
      sql: `SELECT lane, model, count(*) AS ready FROM queue
            WHERE owner IS NULL AND run_at IS NULL AND lane = ? GROUP BY model`,
      args: [batch],
    })),
  };
}

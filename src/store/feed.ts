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

const IS_READY = "owner IS NULL AND run_at IS NULL";

/** The most ready rows that are counted per lane. No lane starts more before the next count. */
const MOST_COUNTED = 20_000;

/**
 * The number of ready runs by lane and model, at most `MOST_COUNTED`. It goes from lane to lane in the index of the
 * ready rows, so a lane with a million rows costs no more.
 */
export const READY_LANES: Statement<LaneReady> = {
  sql: `WITH RECURSIVE lanes(lane, model) AS (
          SELECT * FROM (SELECT lane, model FROM queue WHERE ${IS_READY} ORDER BY lane, model LIMIT 1)
          UNION ALL
          SELECT q.lane, q.model FROM lanes l CROSS JOIN queue q ON q.task = coalesce(
            (SELECT task FROM queue WHERE ${IS_READY} AND lane = l.lane AND model > l.model
             ORDER BY model LIMIT 1),
            (SELECT task FROM queue WHERE ${IS_READY} AND lane > l.lane
             ORDER BY lane, model LIMIT 1)))
        SELECT lane, model, (
          SELECT count(*) FROM (SELECT 1 FROM queue WHERE lane = l.lane AND model = l.model
                                AND ${IS_READY} LIMIT ${MOST_COUNTED})) AS ready
        FROM lanes l`,
  args: [],
};

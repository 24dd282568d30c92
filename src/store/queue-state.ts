import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { LaneReady } from "./feed.ts";
import { IS_LIMITED } from "./room.ts";
import { jsonRows, same } from "./rows.ts";

/** The batches that run, and what is ready in the lanes. */
export type QueueState = { running: RunningBatch[]; ready: LaneReady[] };

export type RunningBatch = {
  seq: number;
  maxConcurrency: number | null;
  isDryRun: number;
  /** It has a cap, or the key that pays has a budget. */
  isLimited: number;
  pending: number;
  isHungry: number;
};

/**
 * The batches that the engine works on, as JSON. A batch is hungry if it has pending tasks but none in the queue: tasks
 * have become pending again after it was fed completely. The queue is read by two subqueries, each of which uses an
 * index; as one, it would read the rows of all other batches for each batch.
 */
const RUNNING_BATCHES = jsonRows(
  {
    seq: "seq",
    maxConcurrency: "max_concurrency",
    isDryRun: "is_dry_run",
    isLimited: IS_LIMITED,
    pending: "total - completed - failed - cancelled - running",
    isHungry: `total > completed + failed + cancelled + running
      AND NOT EXISTS (SELECT 1 FROM queue WHERE lane = b.seq AND owner IS NULL AND run_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM queue WHERE lane = b.seq AND run_at IS NOT NULL)`,
  },
  `batches b WHERE status = 'running' AND seq > ${SINGLE_TASKS}`,
);

const IS_READY = "owner IS NULL AND run_at IS NULL";

/** The most ready rows that are counted per lane. No lane starts more before the next count. */
const MOST_COUNTED = 20_000;

/**
 * The number of ready runs by lane and model, as JSON, at most `MOST_COUNTED`. It goes from lane to lane in the index of
 * the ready rows, so a lane with a million rows costs no more.
 */
const LANES = `lanes(lane, model) AS (
  SELECT * FROM (SELECT lane, model FROM queue WHERE ${IS_READY} ORDER BY lane, model LIMIT 1)
  UNION ALL
  SELECT q.lane, q.model FROM lanes l CROSS JOIN queue q ON q.task = coalesce(
    (SELECT task FROM queue WHERE ${IS_READY} AND lane = l.lane AND model > l.model
     ORDER BY model LIMIT 1),
    (SELECT task FROM queue WHERE ${IS_READY} AND lane > l.lane
     ORDER BY lane, model LIMIT 1)))`;
const READY_LANES = jsonRows(
  {
    ...same("lane", "model"),
    ready: `(SELECT count(*) FROM (SELECT 1 FROM queue WHERE lane = l.lane AND model = l.model
                                   AND ${IS_READY} LIMIT ${MOST_COUNTED}))`,
  },
  "lanes l",
);

/** The parts of the state as JSON: there can be thousands of batches and lanes. */
export const QUEUE_STATE: Statement<{ running: string; ready: string }> = {
  sql: `WITH RECURSIVE ${LANES} SELECT ${RUNNING_BATCHES} AS running, ${READY_LANES} AS ready`,
  args: [],
};

export function queueStateOf(row: { running: string; ready: string } | undefined): QueueState {
  if (!row) throw new Error("a SELECT without FROM has a row");
  return { running: JSON.parse(row.running), ready: JSON.parse(row.ready) } as QueueState;
}

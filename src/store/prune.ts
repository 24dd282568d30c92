import type { Statement } from "../db/unit.ts";
import type { Which } from "./which.ts";

/** A table whose old rows are deleted. */
type Aging = {
  table: string;
  /** Grows with each row that is inserted, and is indexed. */
  key: string;
  /** When the row was made, as SQL over the table, called `x`. */
  at: string;
  /** Which of the rows may go; all by default. */
  which?: string;
  /** Rows that are older than this, in ms beyond the time of `before`, go in any case. */
  mostMs?: number;
};

/** An endpoint that gets nothing for three days is disabled. */
const LATEST_DELIVERY_MS = 3 * 86_400_000;

const AGING = {
  /** Events are kept until all active endpoints have their deliveries of them, unless one never catches up. */
  events: {
    table: "events",
    key: "id",
    at: "x.at",
    which: "NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.is_active AND w.cursor < x.id)",
    mostMs: LATEST_DELIVERY_MS,
  },
  /** Pending deliveries to an active endpoint are kept until they are delivered or given up. */
  deliveries: {
    table: "webhook_deliveries",
    key: "seq",
    at: "x.at",
    which: "(x.status <> 'pending' OR x.webhook NOT IN (SELECT seq FROM webhooks WHERE is_active))",
  },
  runs: {
    table: "schedule_runs",
    key: "seq",
    at: "x.fired_at",
    which: "x.status NOT IN ('pending', 'queued', 'running')",
  },
  idempotencyKeys: { table: "idempotency_keys", key: "rowid", at: "x.created_at" },
  /** Only rows below the floor that `raiseAuditFloor` has set can be deleted. */
  audit: { table: "audit_log", key: "id", at: "x.at" },
  cachedAnswers: {
    table: "cached_answers",
    key: "rowid",
    at: "(SELECT e.completed_at FROM executions e WHERE e.task = x.task AND e.run = x.run)",
  },
} as const satisfies Record<string, Aging>;
export type AgingTable = keyof typeof AGING;

export type Window = { after: number; limit: number; before: number; now: number };

export type PruneUnit = {
  seen: Statement<{ last: number | null; rows: number; young: number }>;
  pruned: Statement;
};

/**
 * Removes those of the next `limit` rows after a key that are older than `before`. `seen` counts the younger ones
 * among them: if all are younger, so are the following rows. A row with a time in the future, from a wrong clock,
 * does not count, because older ones may follow it.
 */
export function pruneWindow(name: AgingTable, { after, limit, before, now }: Window): PruneUnit {
  const { table, key, at, which = "1", mostMs = Infinity }: Aging = AGING[name];
  const some = `SELECT x.${key} AS k, ${at} AS at FROM ${table} x WHERE x.${key} > ? ORDER BY x.${key} LIMIT ?`;
  return {
    seen: {
      sql: `SELECT max(k) AS last, count(*) AS rows, total(at BETWEEN ? AND ?) AS young FROM (${some})`,
      args: [before, now, after, limit],
    },
    pruned: {
      sql: `DELETE FROM ${table} WHERE ${key} IN (
              SELECT s.k FROM (${some}) s CROSS JOIN ${table} x ON x.${key} = s.k
              WHERE s.at < ? AND (s.at < ? OR ${which}))`,
      args: [after, limit, before, mostMs === Infinity ? 0 : before - mostMs],
    },
  };
}

export type OldTask = {
  seq: number;
  id: string;
  batch: number;
  at: number;
  completedAt: number | null;
};

/** The next tasks of a status in the order of their creation, after one, that were created before a time. */
export function oldTasks(
  status: string,
  { at, seq }: { at: number; seq: number },
  before: number,
  limit: number,
): Statement<OldTask> {
  return {
    sql: `SELECT seq, id, batch, created_at AS at, completed_at AS completedAt FROM tasks
          WHERE status = ? AND (created_at, seq) > (?, ?) AND created_at < ?
          ORDER BY created_at, seq LIMIT ?`,
    args: [status, at, seq, before, limit],
  };
}

export type OldBatch = { seq: number; id: string; status: string; completedAt: number | null };

/** The next batches after one. */
export function nextBatches(after: number, limit: number): Statement<OldBatch> {
  return {
    sql: `SELECT seq, id, status, completed_at AS completedAt FROM batches
          WHERE seq > ? AND status <> 'ingesting' ORDER BY seq LIMIT ?`,
    args: [after, limit],
  };
}

/** True for an upload that no schedule reads. */
export const IS_UNSCHEDULED: Which = {
  where: "files.id NOT IN (SELECT input_file FROM schedules)",
  args: [],
};

/** The oldest uploads that were created before a time and that no schedule reads. */
export function oldFiles(before: number, limit: number): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM files WHERE created_at < ? AND ${IS_UNSCHEDULED.where}
          ORDER BY created_at, seq LIMIT ?`,
    args: [before, limit],
  };
}

import type { Statement } from "../db/unit.ts";
import type { Endpoint } from "../domain/request.ts";
import { UPLOAD_SCHEME } from "../domain/upload-refs.ts";

/** `hasBase`: it reuses an answer, so it is not sent. */
export type EstimatedTask = { model: string; endpoint: Endpoint; body: string; hasBase: number };

/** Up to `limit` pending tasks of a batch from a position on, without the first `skip`. */
export function pendingFrom(
  batch: number,
  position: number,
  limit: number,
  skip: number,
): Statement<EstimatedTask> {
  return {
    sql: `SELECT t.model, i.endpoint, i.body, i.base_task IS NOT NULL AS hasBase
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
          WHERE t.batch = ? AND t.status = 'pending' AND t.position >= ?
          ORDER BY t.position LIMIT ? OFFSET ?`,
    args: [batch, position, limit, skip],
  };
}

/** SQL that is true of a request `i` that may refer to uploads, which are equal if their contents are. */
const REFERS = `instr(i.body, '"${UPLOAD_SCHEME}') > 0`;

/**
 * How many different requests a batch's pending tasks have, without those that refer to uploads. Tasks without a
 * cache key are compared by their bodies.
 */
export function differentRequests(batch: number): Statement<{ n: number }> {
  return {
    sql: `SELECT count(DISTINCT coalesce(i.cache_key, i.body)) AS n
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
          WHERE t.batch = ? AND t.status = 'pending' AND NOT (${REFERS})`,
    args: [batch],
  };
}

/** A request that may refer to uploads; `body` is null if its key is known. */
export type ReferringRequest = {
  position: number;
  endpoint: Endpoint;
  key: string | null;
  body: string | null;
  isChecked: number;
};

/** Up to `limit` of the requests that `differentRequests` leaves out, after a position, without the first `skip`. */
export function referringRequests(
  batch: number,
  after: number,
  limit: number,
  skip: number,
): Statement<ReferringRequest> {
  return {
    sql: `SELECT t.position, i.endpoint, i.cache_key AS key, iif(i.cache_key IS NULL, i.body, NULL) AS body,
                 t.max_repairs IS NOT NULL AS isChecked
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
          WHERE t.batch = ? AND t.status = 'pending' AND t.position > ? AND ${REFERS}
          ORDER BY t.position LIMIT ? OFFSET ?`,
    args: [batch, after, limit, skip],
  };
}

/** The first and last position of a batch's pending tasks. */
export function pendingRange(
  batch: number,
): Statement<{ first: number | null; last: number | null }> {
  const end = (which: string) =>
    `(SELECT ${which}(position) FROM tasks WHERE batch = ? AND status = 'pending')`;
  return { sql: `SELECT ${end("min")} AS first, ${end("max")} AS last`, args: [batch, batch] };
}

/** The average duration of the last calls in ms; null if none of the last runs was completed. */
export const RECENT_CALL_MS: Statement<{ ms: number | null }> = {
  sql: `SELECT avg(completed_at - claimed_at) AS ms FROM (
          SELECT completed_at, claimed_at FROM (
            SELECT status, completed_at, claimed_at FROM executions ORDER BY rowid DESC LIMIT 2000)
          WHERE status = 'completed' LIMIT 200)`,
  args: [],
};

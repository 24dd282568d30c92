/** A step of a query plan that may read or sort a growing table. */
export type Accepted = {
  /** A part of the statement, with runs of white space as one space. */
  sql: string | RegExp;
  /** The beginning of the step. */
  step: string;
  why: string;
};

/** Several statements with the same reason. */
function each(why: string, accepted: [sql: string | RegExp, step: string][]): Accepted[] {
  return accepted.map(([sql, step]) => ({ sql, step, why }));
}

const SORT = "USE TEMP B-TREE FOR ORDER BY";
const GROUPS = "USE TEMP B-TREE FOR GROUP BY";

export const ACCEPTED: Accepted[] = [
  ...each("reads an index in the order that is asked for, and stops at the limit of the page", [
    ['order by "tasks"."created_at"', "SCAN tasks USING INDEX tasks_by_time"],
    ['order by "tasks"."id"', "SCAN tasks USING INDEX tasks_id_unique"],
    ['order by "batches"."created_at"', "SCAN batches USING INDEX batches_by_time"],
    ['order by "batches"."created_at"', "SCAN batches USING INDEX batches_of_files"],
    ['order by "batches"."name"', "SCAN batches USING INDEX batches_by_name"],
    ['order by "schedules"."created_at"', "SCAN schedules USING INDEX schedules_by_time"],
    ['order by "schedules"."name"', "SCAN schedules USING INDEX schedules_by_name"],
    ['order by "audit_log"."at"', "SCAN audit_log USING INDEX audit_by_time"],
    ['order by "files"."created_at"', "SCAN files USING INDEX files_by_time"],
    ['order by "files"."name"', "SCAN files USING INDEX files_by_name"],
    [
      "AS purpose, created_at AS at, expires_at AS expiresAt FROM files",
      "SCAN files USING INDEX files_by_time",
    ],
  ]),
  ...each("reads the oldest or latest few rows, by row number", [
    ["SELECT seq, status FROM tasks ORDER BY seq DESC LIMIT 1", "SCAN tasks"],
    ["FROM events ORDER BY id DESC LIMIT 1000", "SCAN events"],
    ["FROM executions ORDER BY rowid DESC LIMIT 2000", "SCAN executions"],
    ["SELECT 1 FROM tasks LIMIT 1", "SCAN tasks"],
    ["WITH RECURSIVE lanes(lane, model)", "SCAN queue USING INDEX queue_ready"],
  ]),
  ...each("the table has one row", [["SELECT since AS value FROM __beside", "SCAN __beside"]]),
  ...each("its index holds only what is still to be done", [
    ["OR revive IS NOT NULL", "SCAN batches USING INDEX batches_unswept"],
  ]),
  ...each("its table holds only calls that are under way", [
    ["DELETE FROM live_calls WHERE node = ?", "SCAN live_calls"],
    ["SELECT seq FROM live_calls WHERE node = ?", "SCAN live_calls"],
  ]),
  ...each("its table has a row for each process of the last month, and is read when one starts", [
    ["DELETE FROM live_settlements WHERE node = ?", "SCAN live_settlements"],
  ]),
  ...each("sorts endpoints, of which there are few", [
    ["FROM webhooks WHERE is_active AND waiting > retrying", SORT],
  ]),
  ...each("sorts what runs, which is no more than there are slots", [
    ['where ("tasks"."seq" IN (SELECT "queue"."task" FROM "queue" WHERE "queue"."owner"', SORT],
  ]),
  ...each("groups or sorts the rows of one claim, one flush or one chunk", [
    ["SELECT q.task, iif(octet_length(i.body) <= ?, i.body, NULL) AS body", SORT],
    ["WHERE task IN (SELECT task FROM (SELECT * FROM (SELECT task, queued_at FROM queue", SORT],
    ["FROM json_each(?) r CROSS JOIN queue q", GROUPS],
    ["FROM queue q CROSS JOIN tasks t ON t.seq = q.task", GROUPS],
    ["WHERE q.owner = ? AND q.claim = ? ORDER BY", SORT],
    ["GROUP BY batch) AS moved", GROUPS],
    ["GROUP BY model, api_key) c", GROUPS],
    [
      "WHERE status = 'failed' AND created_at >= ? ORDER BY created_at DESC LIMIT ?",
      "USE TEMP B-TREE",
    ],
  ]),
  ...each("adds up a day of minutes or a month of hours, in a reading thread", [
    ["FROM rollups WHERE span = ? AND at >= ?", "USE TEMP B-TREE"],
  ]),
  ...each("counts or adds up in a reading thread; each row stands for many tasks, or is small", [
    ["FROM batches WHERE status <> 'ingesting'", "SCAN batches"],
    ["count(DISTINCT coalesce(i.cache_key, i.body))", "USE TEMP B-TREE"],
    ["SELECT seq FROM batches WHERE updated_at >= ? AND total <= ?", "SCAN batches"],
    ["SELECT seq FROM batches WHERE updated_at >= ? AND total <= ?", SORT],
    ['select count(*) from "schedules"', "SCAN schedules"],
    ["total(is_active) AS active, (SELECT min(next_run)", "SCAN schedules"],
    ["FROM schedules) AS scheduling", "SCAN schedules"],
    ['select count(*) from "audit_log"', "SCAN audit_log"],
    ['select count(*) from "files"', "SCAN files"],
    ["NOT IN (SELECT input_file FROM schedules)", "SCAN schedules"],
  ]),
  ...each(
    "an order by which the filter has no index; in a reading thread, and given up after 30 s",
    [
      ['"batches"."status" <> ?) and "batches"."status" = ?', SORT],
      [/"tasks"\."(created_at" [<>]|status" =) \?.* order by "tasks"\."id"/, SORT],
    ],
  ),
  ...each("reads the queue once, when somebody sets or lifts a cap or a budget", [
    ["UPDATE queue SET lane = -", "SCAN queue"],
  ]),
  ...each(
    "of a shared database: ten counters, the answers that are read elsewhere, a minute of their pieces",
    [
      ["FROM changes", "SCAN changes"],
      ["FROM followed", "SCAN followed"],
      ["FROM deltas WHERE at <", "SCAN deltas"],
    ],
  ),
  ...each("holds the uploads under way, and what is to be removed", [
    ["FROM loose_files WHERE node IS NULL", "SCAN loose_files"],
  ]),
  ...each("asked by commands of the operator, which read everything", [
    ["WITH requests AS (", "SCAN t"],
    ["WITH requests AS (", "SCAN files"],
    ["WITH requests AS (", GROUPS],
    ["WITH requests AS (", "SEARCH r USING AUTOMATIC"],
    ["WITH requests AS (", "SEARCH u USING AUTOMATIC"],
    ["SELECT id FROM files", "SCAN files USING COVERING INDEX files_id_unique"],
    ["WHERE lane <= 0) AS singles", "SCAN queue"],
    ["WHERE lane <= 0) AS singles", "SCAN schedules"],
    [
      "UPDATE schedules SET is_active = 0, next_run = NULL, pause_reason = ?, revision",
      "SCAN schedules",
    ],
  ]),
];

/** Functions of `src/store` that only separate processes call, which are not recorded, with the tests that cover them. */
export const REACHED_ELSEWHERE: Readonly<Record<string, string>> = {
  "texts.readPiece": "test/engine/poison.test.ts, at a libSQL server",
  "release.recordInterruption": "test/engine/recovery.test.ts, after SIGKILL",
  "nodes.countApart": "test/fleet/files.test.ts, at a libSQL server",
};

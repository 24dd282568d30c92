import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";

/** A row of the event log. */
export type LogRow = {
  id: number;
  at: number;
  type: string;
  task: string | null;
  batch: string | null;
  taskSeq: number | null;
  run: number | null;
  data: string | null;
};

/** The event log as it grows, read once for all checks. */
export function createHistory(truth: Client) {
  const rows: LogRow[] = [];
  let last = 0;
  return {
    rows,
    /** The rows that were appended since the last call. */
    async advance(): Promise<LogRow[]> {
      const found = await truth.execute({
        sql: `SELECT id, at, type, task, batch, task_seq AS taskSeq, run, data
              FROM events WHERE id > ? ORDER BY id`,
        args: [last],
      });
      const fresh = rowsOf<LogRow>(found);
      last = fresh.at(-1)?.id ?? last;
      rows.push(...fresh);
      return fresh;
    },
    last: () => last,
  };
}

import type { Client } from "@libsql/client";

import type { Statement } from "../db/unit.ts";
import type { EventType, LoggedEvent } from "../domain/event.ts";
import { executionId } from "../domain/task.ts";
import { readRows } from "./rows.ts";
import type { Which } from "./which.ts";

/*
 * Readers follow the log by id: "everything after 42". That is safe because an id is drawn inside
 * a write transaction and SQLite, a libSQL server included, runs one write transaction at a time:
 * a transaction that draws a higher id does so after the lower one was committed or rolled back. So no id ever
 * becomes visible below one that a reader has seen. A replica that lags shows an earlier state of
 * the log, never one with holes.
 */

export type NewEvent = {
  type: EventType;
  at: number;
  /** Public ids. */
  task: string | null;
  batch: string | null;
  /** Data beside the ids: counts, an error's code. */
  data?: Record<string, unknown>;
  /** Trace context of the request that caused it; by default, that of the batch. */
  trace?: string | null;
};

/**
 * Appends an event if a condition holds. It must be the condition of the statement that makes the change, which
 * follows in the unit.
 */
export function insertEvent(
  { type, at, task, batch, data, trace }: NewEvent,
  when: Which,
): Statement {
  const isOfBatch = trace === undefined && batch !== null;
  return {
    sql: `INSERT INTO events (at, type, task, batch, data, trace)
          SELECT ?, ?, ?, ?, ?, ${isOfBatch ? "(SELECT trace FROM batches WHERE id = ?)" : "?"}
          WHERE ${when.where}`,
    args: [
      at,
      type,
      task,
      batch,
      data ? JSON.stringify(data) : null,
      isOfBatch ? batch : (trace ?? null),
      ...when.args,
    ],
  };
}

/** Which events to read: all, or those of one task or batch. */
export type EventSubject = { task?: string | undefined; batch?: string | undefined };

/** How many rows one statement reads: a millisecond or two of the event loop on a local file. */
const WINDOW = 5000;

export type EventPage = {
  events: LoggedEvent[];
  /** The id up to which the log was read; more events after it may match. */
  upTo: number;
};

/**
 * Reads up to `limit` events with ids above `after` and no higher than `last`, scanning at most a few thousand rows.
 * There is no index by subject, because it would cost each run of a task two more writes for a few readers.
 */
export async function readEvents(
  client: Pick<Client, "execute">,
  after: number,
  last: number,
  limit: number,
  { task, batch }: EventSubject = {},
): Promise<EventPage> {
  const end = task === undefined && batch === undefined ? last : Math.min(last, after + WINDOW);
  const rows = await readRows<Row>(client, {
    sql: `SELECT id, at, type, task, batch, task_seq, run, data, trace FROM events
          WHERE id > ? AND id <= ?${task === undefined ? "" : " AND task = ?"}${batch === undefined ? "" : " AND batch = ?"}
          ORDER BY id LIMIT ?`,
    args: [after, end, ...[task, batch].filter((id) => id !== undefined), limit],
  });
  const events = rows.map(toLoggedEvent);
  return { events, upTo: events.length === limit ? (events.at(-1)?.id ?? end) : end };
}

type Row = Omit<LoggedEvent, "execution"> & { task_seq: number | null; run: number | null };

function toLoggedEvent({ task_seq: seq, run, ...event }: Row): LoggedEvent {
  return { ...event, execution: seq === null || run === null ? null : executionId(seq, run) };
}

const LOG_BOUNDS: Statement<{ first: number | null; last: number | null }> = {
  sql: "SELECT (SELECT min(id) FROM events) AS first, (SELECT max(id) FROM events) AS last",
  args: [],
};

/** The lowest and highest ids in the log; both 0 if it is empty. */
export async function findLogBounds(
  client: Pick<Client, "execute">,
): Promise<{ first: number; last: number }> {
  const [row] = await readRows(client, LOG_BOUNDS);
  return { first: row?.first ?? 0, last: row?.last ?? 0 };
}

/** The last id in the log up to `id`, and the first above it. */
export function neighboursOf(
  id: number,
): Statement<{ before: number | null; next: number | null }> {
  return {
    sql: `SELECT (SELECT max(id) FROM events WHERE id <= ?) AS before,
                 (SELECT min(id) FROM events WHERE id > ?) AS next`,
    args: [id, id],
  };
}

/**
 * An id below all events that were written at `time` or later. Found by bisection: times grow with ids, except that
 * the clocks of a fleet may differ by a minute.
 */
export async function findIdBefore(client: Pick<Client, "execute">, time: number): Promise<number> {
  const wanted = time - 60_000;
  let { first: low, last: high } = await findLogBounds(client);
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [row] = await readRows<{ at: number }>(client, {
      sql: "SELECT at FROM events WHERE id >= ? ORDER BY id LIMIT 1",
      args: [middle],
    });
    if (row && row.at < wanted) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** Which of these tasks or batches, by row number, exist. A batch that is being removed does not. */
export function thoseThere(kind: "task" | "batch", seqs: number[]): Statement<{ seq: number }> {
  return {
    sql:
      kind === "task"
        ? "SELECT t.seq FROM json_each(?) j CROSS JOIN tasks t ON t.seq = j.value"
        : "SELECT b.seq FROM json_each(?) j CROSS JOIN batches b ON b.seq = j.value WHERE b.status <> 'ingesting'",
    args: [JSON.stringify(seqs)],
  };
}

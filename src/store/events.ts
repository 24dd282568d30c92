import type { Statement } from "../db/writer.ts";

/** Everything that the log can tell. `data` is small: ids, status, counts; answers are fetched. */
export type EventType =
  | "task.created"
  | "task.started"
  | "task.completed"
  | "task.failed"
  | "task.cancelled"
  | "batch.created"
  | "batch.started"
  | "batch.completed"
  | "batch.failed"
  | "batch.cancelled"
  | "batch.paused"
  | "batch.progress"
  | "system.alert";

export type NewEvent = {
  type: EventType;
  at: number;
  task: string | null;
  batch: string | null;
  data: Record<string, unknown>;
};

/** Appends an event if the statement before it in the unit changed a row. */
export function eventAfterChange(event: NewEvent): Statement {
  return {
    sql: `INSERT INTO events (at, type, task, batch, data)
          SELECT ?, ?, ?, ?, ? WHERE changes() > 0`,
    args: [event.at, event.type, event.task, event.batch, JSON.stringify(event.data)],
  };
}

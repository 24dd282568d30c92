import type { Statement } from "../db/writer.ts";
import type { EventType } from "../domain/event.ts";

export type NewEvent = {
  type: EventType;
  at: number;
  /** Public ids. */
  task: string | null;
  batch: string | null;
  /** What the ids do not tell: counts, an error's code. */
  data?: Record<string, unknown>;
};

/** Appends an event if the statement before it in the unit changed a row. */
export function eventAfterChange({ type, at, task, batch, data }: NewEvent): Statement {
  return {
    sql: `INSERT INTO events (at, type, task, batch, data)
          SELECT ?, ?, ?, ?, ? WHERE changes() > 0`,
    args: [at, type, task, batch, data ? JSON.stringify(data) : null],
  };
}

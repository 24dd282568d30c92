import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

import type { Endpoint } from "../../domain/request.ts";
import type { StoredStatus } from "../../domain/task.ts";
import { batches } from "./batches.ts";

/*
 * Times are Unix milliseconds, money is USD. Rows refer to each other by `seq`, the integer row number; `id` is the
 * public id. Large texts are in tables of their own (`task_inputs`, `executions`), so that a change of status
 * rewrites a small row: with bodies of 3 kB a claim and a settlement cost 40 µs, and 72 µs with the body in the
 * task's row.
 */

export const tasks = sqliteTable(
  "tasks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    batch: integer()
      .notNull()
      .references(() => batches.seq),
    /** Position in the input; null for single tasks. */
    position: integer(),
    /** While it runs it is still pending here: its row in `queue` has an owner. */
    status: text().$type<StoredStatus>().notNull(),
    model: text().notNull(),
    priority: integer().notNull(),
    maxRetries: integer(),
    timeoutMs: integer(),
    /**
     * How long it waits for the flex tier before it falls back to the standard one; null if it does not request flex.
     */
    flexMinutes: real(),
    /** How often an answer that does not match the schema is repaired; null if answers are not checked. */
    maxRepairs: integer(),
    /** The model to escalate to if an answer is not good enough. */
    escalateTo: text(),
    apiKey: integer(),
    /** Number of the latest execution, 0 before the first. */
    run: integer().notNull().default(0),
    /** The generation of its batch in which it last ended. */
    generation: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    /** The answer of the latest execution was cut off; it was reused from another task. */
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    /** Its answer matches the schema after a repair. */
    isRepaired: integer({ mode: "boolean" }).notNull().default(false),
    /** It is cancelled because `onlyIf` is false for its row, and stays so unless it is executed by itself. */
    isSkipped: integer({ mode: "boolean" }).notNull().default(false),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    startedAt: integer(),
    completedAt: integer(),
  },
  (t) => [
    index("tasks_by_time").on(t.createdAt),
    index("tasks_by_status").on(t.status, t.createdAt),
    index("tasks_by_position")
      .on(t.batch, t.position)
      .where(sql`${t.position} is not null`),
    index("tasks_by_batch_status").on(t.batch, t.status, t.position),
    index("tasks_by_batch_id").on(t.batch, t.id),
    index("tasks_truncated")
      .on(t.batch)
      .where(sql`${t.isTruncated}`),
    index("tasks_cached")
      .on(t.batch)
      .where(sql`${t.isCached}`),
    index("tasks_repaired")
      .on(t.batch)
      .where(sql`${t.isRepaired}`),
    index("tasks_skipped")
      .on(t.batch)
      .where(sql`${t.isSkipped}`),
  ],
);
export type Task = typeof tasks.$inferSelect;

/** The requests, in the provider's format. */
export const taskInputs = sqliteTable("task_inputs", {
  task: integer()
    .primaryKey()
    .references(() => tasks.seq, { onDelete: "cascade" }),
  endpoint: text().$type<Endpoint>().notNull(),
  body: text().notNull(),
  /** The `prompt` of a client that gave `messages`, too; it is not sent. */
  prompt: text(),
  metadata: text(),
  /** The cells of the task's CSV row, a JSON array in the order of the batch's columns. */
  cells: text(),
  /** SHA-256 of endpoint and body if an answer to the same request may be reused; otherwise null. */
  cacheKey: text(),
  /** The execution of its batch's `baseBatch` whose answer it reuses; it may have been deleted. */
  baseTask: integer(),
  baseRun: integer(),
});
export type TaskInput = typeof taskInputs.$inferSelect;

import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

import type { Endpoint } from "../../domain/request.ts";
import type { StoredStatus } from "../../domain/task.ts";
import { batches } from "./batches.ts";

/*
 * Times are Unix milliseconds, money is USD. Rows point at each other by `seq`, the integer row
 * number; `id` is the public name. Large texts stand in tables of their own (`task_inputs`,
 * `executions`), so that a change of status rewrites a small row: with bodies of 3 kB a claim and
 * settlement costs 40 µs that way and 72 µs with the body in the task's row.
 */

export const tasks = sqliteTable(
  "tasks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    batch: integer()
      .notNull()
      .references(() => batches.seq),
    /** Place in the input; null for single tasks. */
    position: integer(),
    /** What has come of it. While it runs it is still pending here: its row in `queue` has an owner. */
    status: text().$type<StoredStatus>().notNull(),
    model: text().notNull(),
    priority: integer().notNull(),
    maxRetries: integer(),
    timeoutMs: integer(),
    /** How long it waits for the flex tier before it takes the standard one; null where it asks for no flex. */
    flexMinutes: real(),
    /** How often an answer is repaired that does not match the schema of the request; null where none is checked. */
    maxRepairs: integer(),
    /** The model that is asked where an answer is not good enough. */
    escalateTo: text(),
    apiKey: integer(),
    /** Number of the latest execution, 0 before the first. */
    run: integer().notNull().default(0),
    /** The generation of its batch in which it ended last. */
    generation: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    /** The answer of the latest execution was cut off; it was that of another task. */
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    /** Its answer matches the schema because the model was asked again with what was wrong. */
    isRepaired: integer({ mode: "boolean" }).notNull().default(false),
    /** It is cancelled since `onlyIf` is not true of its row, and stays so unless it is executed by itself. */
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

/** What was asked, shaped as the provider takes it. */
export const taskInputs = sqliteTable("task_inputs", {
  task: integer()
    .primaryKey()
    .references(() => tasks.seq, { onDelete: "cascade" }),
  endpoint: text().$type<Endpoint>().notNull(),
  body: text().notNull(),
  /** The `prompt` that came beside `messages` and is not sent. */
  prompt: text(),
  metadata: text(),
  /** The cells of the task's CSV row, a JSON array in the order of the batch's columns. */
  cells: text(),
  /** SHA-256 of endpoint and body where an answer to the same request may be used again; else null. */
  cacheKey: text(),
  /** The execution of its batch's `baseBatch` whose answer it takes; that may be deleted. */
  baseTask: integer(),
  baseRun: integer(),
});
export type TaskInput = typeof taskInputs.$inferSelect;

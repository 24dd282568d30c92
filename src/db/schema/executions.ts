import {
  foreignKey,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
} from "drizzle-orm/sqlite-core";

import type { FinalStatus } from "../../domain/task.ts";
import { tasks } from "./tasks.ts";

export const executions = sqliteTable(
  "executions",
  {
    task: integer()
      .notNull()
      .references(() => tasks.seq, { onDelete: "cascade" }),
    run: integer().notNull(),
    status: text().$type<FinalStatus>().notNull(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    queuedAt: integer().notNull(),
    startedAt: integer(),
    /** When the last attempt began. */
    claimedAt: integer(),
    completedAt: integer().notNull(),
    /** The claim that ended it; null if it was cancelled. */
    claim: integer(),
    attempts: integer().notNull(),
    log: text(),
    provider: text(),
    model: text(),
    /** The requested model, if a fallback model was called instead. */
    fallbackFrom: text(),
    /** The model that was called first, if its answer was not good enough and that of `escalateTo` counts. */
    escalatedFrom: text(),
    /** The answer is that of an earlier execution; no call was made. */
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    requestId: text(),
    promptTokens: integer(),
    completionTokens: integer(),
    cachedTokens: integer(),
    reasoningTokens: integer(),
    /** The cost of all its calls; null if that of one of them is unknown. */
    costUsd: real(),
    /** If `costUsd` is null, the cost of those of several calls whose cost is known. */
    knownUsd: real(),
    /** The answer had no usage, so the tokens were counted by this program. */
    isEstimated: integer({ mode: "boolean" }).notNull().default(false),
    /** The provider's answer, unchanged. */
    response: text(),
    error: text(),
    /** Parts of the request that the provider refused, so it was sent without them: a JSON array of texts. */
    adjusted: text(),
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
    isRepaired: integer({ mode: "boolean" }).notNull().default(false),
  },
  (t) => [primaryKey({ columns: [t.task, t.run] })],
);
export type Execution = typeof executions.$inferSelect;

/** The execution whose answer is reused for requests with the same key (`task_inputs.cache_key`). */
export const cachedAnswers = sqliteTable(
  "cached_answers",
  {
    key: text().primaryKey(),
    task: integer().notNull(),
    run: integer().notNull(),
  },
  (t) => [
    foreignKey({
      columns: [t.task, t.run],
      foreignColumns: [executions.task, executions.run],
    }).onDelete("cascade"),
    index("cached_answers_by_execution").on(t.task, t.run),
  ],
);

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
    /** The claim that ended it; null where it was cancelled. */
    claim: integer(),
    attempts: integer().notNull(),
    log: text(),
    provider: text(),
    model: text(),
    /** The requested model, where another one was called in its place. */
    fallbackFrom: text(),
    /** The model that was asked first, where its answer was not good enough and that of `escalateTo` counts. */
    escalatedFrom: text(),
    /** The answer was that of an earlier execution; no call was made. */
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    requestId: text(),
    promptTokens: integer(),
    completionTokens: integer(),
    cachedTokens: integer(),
    reasoningTokens: integer(),
    costUsd: real(),
    /** The answer had no usage; the tokens were counted here. */
    isEstimated: integer({ mode: "boolean" }).notNull().default(false),
    /** The provider's answer as it came. */
    response: text(),
    error: text(),
    /** What of the request the provider refused, so that it was sent without it: a JSON array of texts. */
    adjusted: text(),
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
    isRepaired: integer({ mode: "boolean" }).notNull().default(false),
  },
  (t) => [primaryKey({ columns: [t.task, t.run] })],
);
export type Execution = typeof executions.$inferSelect;

/** Which execution answers a request that is the same as its own (`task_inputs.cache_key`). */
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

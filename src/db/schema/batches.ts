import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

import type { BATCH_STATUSES, OutputStatus, PauseReason } from "../../domain/batch.ts";
import type { ChainError, ChainStatus } from "../../domain/chain.ts";
import type { InputFound } from "../../domain/input-found.ts";
import type { OpenAiTerms } from "../../domain/openai-batch.ts";
import { PASSED_ON } from "../../domain/request.ts";
import type { FinalStatus } from "../../domain/task.ts";
import { exactText } from "../exact-text.ts";

export const batches = sqliteTable(
  "batches",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    description: text(),
    status: text().$type<(typeof BATCH_STATUSES)[number] | "ingesting">().notNull(),
    /** Created by a task that named it; a later POST /batches with the same id fills it in. */
    isBare: integer({ mode: "boolean" }).notNull().default(false),
    /**
     * While it is `ingesting`: the node that writes it, or, negated, the node that removes it; null if written by a
     * version without this column.
     */
    draftOwner: integer(),
    isDryRun: integer({ mode: "boolean" }).notNull().default(false),
    apiKey: integer(),
    inputFile: text(),
    outputFile: text(),
    /** The header of the batch's file, unchanged: names may be blank or appear twice. */
    columns: text({ mode: "json" }).$type<string[]>(),
    /** How the file was read and what it contains; null for inline tasks. */
    input: text({ mode: "json" }).$type<InputFound>(),
    /** The batch whose answers it reuses, and for how many of its rows there was one when it was created. */
    baseBatch: text(),
    reused: integer().notNull().default(0),
    config: exactText<Record<string, unknown>>(PASSED_ON).notNull(),
    metadata: exactText<Record<string, unknown>>(),
    maxConcurrency: integer(),
    /** When it was last started, by the steady clock that its waits are measured by (`sharedSteadyNow`). */
    flexFrom: integer(),
    /** Trace context of the request that started it, if traces are exported. */
    trace: text(),
    /** The most that it may cost; it is paused when that is reached. */
    maxCostUsd: real(),
    /** Why it is paused. */
    pauseReason: text({ mode: "json" }).$type<PauseReason>(),
    /**
     * Set while tasks of an earlier run become pending again, a chunk at a time: the statuses of these tasks. Only
     * tasks that ended in an earlier generation are changed, so none is changed twice.
     */
    revive: text({ mode: "json" }).$type<FinalStatus[]>(),
    /** How often it was restarted. */
    generation: integer().notNull().default(0),
    /** The key that pays for its runs: the one that started it, or requested that it starts when it has its rows. */
    payer: integer(),
    /** The state of `outputFile`; null before the batch ends. */
    outputStatus: text().$type<OutputStatus>(),
    outputError: text(),
    outputAt: integer(),
    /** Row number of the node that writes it. */
    outputOwner: integer(),
    run: integer().notNull().default(0),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    startedAt: integer(),
    /** Its tasks that had ended when it was last started, and do not run again. */
    endedBefore: integer().notNull().default(0),
    completedAt: integer(),
    total: integer().notNull().default(0),
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    cancelled: integer().notNull().default(0),
    running: integer().notNull().default(0),
    promptTokens: integer().notNull().default(0),
    completionTokens: integer().notNull().default(0),
    costUsd: real().notNull().default(0),
    /** What its dry run would have cost. */
    estimatedUsd: real().notNull().default(0),
    /** Calls of models without a known price; no sum includes their cost. */
    unpriced: integer().notNull().default(0),
    /** The cost of its dearest call so far; null before the first one with a cost. */
    dearestUsd: real(),
    /** Completed tasks whose answers were cut off, reused, or repaired. */
    truncated: integer().notNull().default(0),
    cached: integer().notNull().default(0),
    repaired: integer().notNull().default(0),
    /** Cancelled tasks for whose rows `onlyIf` is false. */
    skipped: integer().notNull().default(0),
    /** The id of the batch whose rows and answers are its input. */
    inputBatch: text(),
    /** The state of its rows, if they come from another batch or a file that is checked later; otherwise null. */
    chainStatus: text().$type<ChainStatus>(),
    chainError: text({ mode: "json" }).$type<ChainError>(),
    /** Row number of the node that makes its rows. */
    chainOwner: integer(),
    /** The settings of a batch that was created through `/v1`; null for others. */
    openAi: text({ mode: "json" }).$type<OpenAiTerms>(),
    /** When its unanswered requests expire, and when they did; when it was cancelled. */
    deadlineAt: integer(),
    expiredAt: integer(),
    cancellingAt: integer(),
    /** Parts of `promptTokens` and `completionTokens`. */
    cachedTokens: integer().notNull().default(0),
    reasoningTokens: integer().notNull().default(0),
  },
  (t) => [
    index("batches_by_status").on(t.status, t.createdAt),
    index("batches_by_time").on(t.createdAt),
    index("batches_by_name").on(t.name),
    index("batches_by_output")
      .on(t.outputStatus)
      .where(sql`${t.outputStatus} in ('pending', 'writing')`),
    index("batches_by_chain")
      .on(t.chainStatus, t.inputBatch)
      .where(sql`${t.chainStatus} in ('waiting', 'made')`),
    index("batches_being_checked")
      .on(t.chainStatus)
      .where(sql`${t.chainStatus} = 'checking'`),
    index("batches_by_deadline")
      .on(t.deadlineAt)
      .where(sql`${t.deadlineAt} is not null and ${t.status} in ('pending', 'running', 'paused')`),
    index("batches_of_files")
      .on(t.createdAt)
      .where(sql`${t.inputFile} is not null`),
    index("batches_with_results")
      .on(t.completedAt)
      .where(sql`${t.openAi} is not null and ${t.completedAt} is not null`),
    index("batches_unswept")
      .on(t.status)
      .where(
        sql`(${t.status} = 'cancelled' AND ${t.completedAt} IS NULL) OR ${t.revive} IS NOT NULL`,
      ),
  ],
);
export type Batch = typeof batches.$inferSelect;

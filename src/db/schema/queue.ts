import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

import { tasks } from "./tasks.ts";

/** A run that has not ended. The row is the right to settle it: no row, no effect. */
export const queue = sqliteTable(
  "queue",
  {
    task: integer()
      .primaryKey()
      .references(() => tasks.seq, { onDelete: "cascade" }),
    /**
     * The lane that it starts from: that of its batch, or one of single tasks (0 and below) if it was executed by
     * itself.
     */
    lane: integer().notNull(),
    /**
     * The lane within that: the model, with a mark appended while the run waits for the flex tier (`domain/flex.ts`).
     */
    model: text().notNull(),
    /** When a run that waits for the flex tier falls back to the standard one. */
    flexUntil: integer(),
    priority: integer().notNull(),
    run: integer().notNull(),
    isDryRun: integer({ mode: "boolean" }).notNull().default(false),
    queuedAt: integer().notNull(),
    /** Set while a retry waits for its time. */
    runAt: integer(),
    /** Row number of the node that runs it. */
    owner: integer(),
    /** Number of the claim, unique within its owner. Both together fence settlements. */
    claim: integer(),
    claimedAt: integer(),
    startedAt: integer(),
    /** It was never claimed before, so that this claim starts the run. */
    isFirst: integer({ mode: "boolean" }).notNull().default(false),
    /** Attempts started, and those of them that failed and count against `maxRetries`. */
    attempt: integer().notNull().default(0),
    failures: integer().notNull().default(0),
    /** Attempts that were interrupted by the end of their node. */
    interruptions: integer().notNull().default(0),
    /** Repairs so far, and the faulty answer that the next call quotes (`domain/ask-for-json.ts`), JSON. */
    repairs: integer().notNull().default(0),
    repair: text(),
    /** The run is escalated: the model of `escalateTo` is called. */
    isEscalated: integer({ mode: "boolean" }).notNull().default(false),
    /** The usage of failed calls, and of answers that were not good enough. It is already charged; the execution shows it. */
    earlierPromptTokens: integer().notNull().default(0),
    earlierCompletionTokens: integer().notNull().default(0),
    earlierCachedTokens: integer().notNull().default(0),
    earlierReasoningTokens: integer().notNull().default(0),
    earlierUsd: real().notNull().default(0),
    /** How many of these calls have an unknown cost, which is not in `earlierUsd`. */
    earlierUnpriced: integer().notNull().default(0),
    /** The key that requested the run, which pays for it. */
    payer: integer(),
    /** What its claim has reserved of the payer's budget, while it has an owner; 0 without a budget. */
    reservedUsd: real().notNull().default(0),
    /** Attempts that ended without ending the run, a JSON array. */
    log: text(),
    /** Trace context of the request that started the run, if traces are exported. */
    trace: text(),
  },
  (t) => [
    index("queue_ready")
      .on(t.lane, t.model, t.priority, t.queuedAt)
      .where(sql`${t.owner} is null and ${t.runAt} is null`),
    index("queue_waiting")
      .on(t.runAt)
      .where(sql`${t.runAt} is not null`),
    index("queue_flex")
      .on(t.flexUntil)
      .where(sql`${t.flexUntil} is not null and ${t.owner} is null`),
    index("queue_waiting_by_lane")
      .on(t.lane)
      .where(sql`${t.runAt} is not null`),
    index("queue_claimed")
      .on(t.owner, t.claim)
      .where(sql`${t.owner} is not null`),
    index("queue_reserved")
      .on(t.payer, t.reservedUsd)
      .where(sql`${t.owner} is not null and ${t.reservedUsd} > 0`),
  ],
);
export type QueueRow = typeof queue.$inferSelect;

import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Leases that one process of a fleet holds at a time, by the database's clock. */
export const leases = sqliteTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  expiresAt: integer().notNull(),
});

/** The processes that share the database, and the time of the last heartbeat of each. */
export const nodes = sqliteTable("nodes", {
  seq: integer().primaryKey({ autoIncrement: true }),
  startedAt: integer().notNull(),
  heartbeatAt: integer().notNull(),
  /** Whether it executes tasks; otherwise it only answers requests. */
  isRunner: integer({ mode: "boolean" }).notNull().default(true),
  /** Hashes of the API keys of its environment; null if written by a version without this column. */
  keys: text({ mode: "json" }).$type<string[]>(),
  /** The id of its file store; null if unknown. */
  filesId: text(),
  /** The silence after which it counts as dead; null if written by a version without this column. */
  leaseMs: integer(),
  /** Not used any more: `live_settlements` replaces it. A migration only adds, so the next release takes it away. */
  liveSettled: integer().notNull().default(0),
});

/**
 * The number of the last settlement of live calls of each process, so that none is stored twice. A row outlasts that of
 * its process in `nodes`, which may come back.
 */
export const liveSettlements = sqliteTable("live_settlements", {
  node: integer().primaryKey(),
  number: integer().notNull(),
  /** By the database's clock. */
  at: integer().notNull(),
});

/** On a shared database: counters of changes that other processes watch, by kind. */
export const changes = sqliteTable("changes", {
  topic: text().primaryKey(),
  count: integer().notNull(),
});

/** Tasks whose streamed answers are read at a node, whichever node calls the model. */
export const followed = sqliteTable(
  "followed",
  {
    task: integer().notNull(),
    node: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.task, t.node] })],
);

/** Pieces of streamed answers, from the node that calls the model to those that follow. Removed after a minute. */
export const deltas = sqliteTable("deltas", {
  id: integer().primaryKey({ autoIncrement: true }),
  node: integer().notNull(),
  task: integer().notNull(),
  /** The number of characters of the answer before it. */
  offset: integer().notNull(),
  text: text().notNull(),
  /** By the database's clock. */
  at: integer().notNull(),
});

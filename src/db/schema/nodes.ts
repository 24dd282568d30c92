import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Rights that one process of a fleet has at a time, by its database's clock. */
export const leases = sqliteTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  expiresAt: integer().notNull(),
});

/** The processes that share the database, and when each last proved that it lives. */
export const nodes = sqliteTable("nodes", {
  seq: integer().primaryKey({ autoIncrement: true }),
  startedAt: integer().notNull(),
  heartbeatAt: integer().notNull(),
  /** It executes tasks; otherwise it only answers requests. */
  isRunner: integer({ mode: "boolean" }).notNull().default(true),
  /** Hashes of the API keys of its environment; null if written by a version without this column. */
  keys: text({ mode: "json" }).$type<string[]>(),
  /** The id of the store that its files are in; null where it is not known. */
  filesId: text(),
});

/** On a shared database: how often something has changed that other processes look at, by what it is. */
export const changes = sqliteTable("changes", {
  topic: text().primaryKey(),
  count: integer().notNull(),
});

/** Tasks whose streamed answers are read at a node, wherever they are called. */
export const followed = sqliteTable(
  "followed",
  {
    task: integer().notNull(),
    node: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.task, t.node] })],
);

/** Pieces of streamed answers on their way from the node that calls to those that follow. Gone after a minute. */
export const deltas = sqliteTable("deltas", {
  id: integer().primaryKey({ autoIncrement: true }),
  node: integer().notNull(),
  task: integer().notNull(),
  /** Characters of the answer before it. */
  offset: integer().notNull(),
  text: text().notNull(),
  /** By the database's clock. */
  at: integer().notNull(),
});

import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Uploaded files. Their bytes are in the file store, under their ids. */
export const files = sqliteTable(
  "files",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    /** The client's name for it. */
    name: text().notNull(),
    bytes: integer().notNull(),
    sha256: text().notNull(),
    apiKey: integer(),
    createdAt: integer().notNull(),
    /** The purpose that the client gave, if it was uploaded through `/v1`. */
    purpose: text(),
    /** When it is deleted; null: never. */
    expiresAt: integer(),
  },
  (t) => [
    index("files_by_time").on(t.createdAt),
    index("files_by_name").on(t.name),
    index("files_by_expiry")
      .on(t.expiresAt)
      .where(sql`${t.expiresAt} is not null`),
  ],
);
export type StoredFile = typeof files.$inferSelect;

/** Uploads with bytes in the store but without a row: those in progress, and those to be removed. */
export const looseFiles = sqliteTable("loose_files", {
  id: text().primaryKey(),
  /** The process that writes it; null if it is to be removed. */
  node: integer(),
});

/** Stored bytes of an API key: its uploads, and the requests of its tasks. Triggers count them. */
export const storedBytes = sqliteTable("stored_bytes", {
  apiKey: integer().primaryKey(),
  files: integer().notNull().default(0),
  requests: integer().notNull().default(0),
});

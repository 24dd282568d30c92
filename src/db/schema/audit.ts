import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Who changed or executed what. Triggers refuse to change, replace or delete a row. */
export const auditLog = sqliteTable(
  "audit_log",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    at: integer().notNull(),
    /** Public id of the API key. */
    keyId: text().notNull(),
    action: text().notNull(),
    /** Public id of the object that was changed or executed. */
    target: text(),
    requestId: text().notNull(),
    address: text(),
    /** The request's query, JSON. */
    options: text(),
  },
  (t) => [
    index("audit_by_time").on(t.at),
    index("audit_by_key").on(t.keyId, t.at),
    index("audit_by_action").on(t.action, t.at),
    index("audit_by_target").on(t.target, t.at),
  ],
);
export type AuditEntry = typeof auditLog.$inferSelect;

/** One row: entries that are older may be deleted. A trigger refuses every other deletion. */
export const auditFloor = sqliteTable("audit_floor", { before: integer().notNull() });

import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

import type { AlertCode } from "../../domain/alert.ts";

/** Open alerts, one row each; the row is deleted when the alert is cleared. */
export const alerts = sqliteTable(
  "alerts",
  {
    code: text().$type<AlertCode>().notNull(),
    /** What it is about, such as the id of a webhook; "" for the whole system. */
    subject: text().notNull(),
    message: text().notNull(),
    raisedAt: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.code, t.subject] })],
);
export type Alert = typeof alerts.$inferSelect;

import { index, integer, real, sqliteTable } from "drizzle-orm/sqlite-core";

/**
 * Reservations of live calls in the budget of the key that pays, from before they are sent until they are settled.
 */
export const liveCalls = sqliteTable(
  "live_calls",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    /** Row number of the node that makes the call. */
    node: integer().notNull(),
    payer: integer().notNull(),
    usd: real().notNull(),
  },
  (t) => [index("live_calls_by_payer").on(t.payer)],
);

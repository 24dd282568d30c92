import { and, asc, count, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Alert, alerts } from "../db/schema/alerts.ts";
import { events } from "../db/schema/events.ts";
import type { Statement } from "../db/unit.ts";
import type { AlertCode } from "../domain/alert.ts";
import { insertEvent } from "./events.ts";
import { keyset, type Page } from "./pages.ts";
import { ALWAYS, both, hasRow, not, type Which } from "./which.ts";

export type { Alert };

/** `alert` changes a row if the alert is new. */
export type AlertUnit = { event: Statement; alert: Statement };

/**
 * Raises an alert and adds its event, unless it is raised already; with `when`, only if that holds. For units that
 * change something else, too; otherwise use `raiseAlert` in `services/alerts.ts`.
 */
export function insertAlert(alert: Alert, when: Which = ALWAYS): AlertUnit {
  const { code, subject, message, raisedAt } = alert;
  const isNews = both(not(isRaised(code, subject)), when);
  return {
    event: reportedOf(alert, "raised", isNews),
    alert: {
      sql: `INSERT INTO alerts (code, subject, message, raised_at) SELECT ?, ?, ?, ?
            WHERE ${isNews.where}`,
      args: [code, subject, message, raisedAt, ...isNews.args],
    },
  };
}

/** Clears an alert, if it was raised and a condition holds, and adds the event that says so. */
export function deleteAlert(
  code: AlertCode,
  subject: string,
  now: number,
  when: Which = ALWAYS,
): AlertUnit {
  const alert = { code, subject, message: "All clear", raisedAt: now };
  return {
    event: reportedOf(alert, "cleared", both(isRaised(code, subject), when)),
    alert: {
      sql: `DELETE FROM alerts WHERE code = ? AND subject = ? AND ${when.where}`,
      args: [code, subject, ...when.args],
    },
  };
}

function isRaised(code: AlertCode, subject: string): Which {
  return hasRow("alerts", { where: "code = ? AND subject = ?", args: [code, subject] });
}

function reportedOf(
  { code, subject, message, raisedAt }: Alert,
  status: "raised" | "cleared",
  when: Which,
): Statement {
  const data = { code, status, ...(subject === "" ? {} : { subject }), message };
  return insertEvent({ type: "system.alert", at: raisedAt, task: null, batch: null, data }, when);
}

/** How many alerts of each code are open. */
export const COUNT_ALERTS: Statement<{ code: string; open: number }> = {
  sql: "SELECT code, count(*) AS open FROM alerts GROUP BY code",
  args: [],
};

export function listAlerts(db: Db): Promise<Alert[]> {
  return db.select().from(alerts).orderBy(asc(alerts.raisedAt));
}

/** Spelled as in the index. With a bound parameter SQLite would not use the index. */
const IS_ALERT = sql`type = 'system.alert'`;

/** One page of the alerts that were raised and cleared, as far back as the log goes. */
export function listAlertEvents(db: Db, page: Page) {
  const { isAfter, inOrder } = keyset(page, events.id, events.id);
  return db
    .select({ id: events.id, at: events.at, data: events.data })
    .from(events)
    .where(and(IS_ALERT, isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countAlertEvents(db: Db): Promise<number> {
  const row = await db.select({ n: count() }).from(events).where(IS_ALERT).get();
  return row?.n ?? 0;
}

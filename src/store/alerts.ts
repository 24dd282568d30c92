import { asc } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Alert, alerts } from "../db/schema.ts";
import type { Statement } from "../db/writer.ts";
import type { AlertCode } from "../domain/alert.ts";
import { eventAfterChange } from "./events.ts";

export type { Alert };

/**
 * Raises an alert unless it is raised already, with its event. For units in which something else
 * changes, too; otherwise there is `raiseAlert` in `services/alerts.ts`.
 */
export function insertAlert(alert: Alert): Statement[] {
  return insertIf("TRUE", alert);
}

/** The same, if the statement before it in the unit changed a row. */
export function insertAlertAfterChange(alert: Alert): Statement[] {
  return insertIf("changes() > 0", alert);
}

function insertIf(condition: string, { code, subject, message, raisedAt }: Alert): Statement[] {
  return [
    {
      sql: `INSERT INTO alerts (code, subject, message, raised_at) SELECT ?, ?, ?, ?
            WHERE ${condition} ON CONFLICT DO NOTHING`,
      args: [code, subject, message, raisedAt],
    },
    eventAfterChange({
      type: "system.alert",
      at: raisedAt,
      task: null,
      batch: null,
      data: toData(code, subject, "raised", message),
    }),
  ];
}

/** Tells that all is clear, if the alert was raised. */
export function deleteAlert(code: AlertCode, subject: string, now: number): Statement[] {
  return [
    { sql: `DELETE FROM alerts WHERE code = ? AND subject = ?`, args: [code, subject] },
    eventAfterChange({
      type: "system.alert",
      at: now,
      task: null,
      batch: null,
      data: toData(code, subject, "cleared", "All clear"),
    }),
  ];
}

function toData(code: AlertCode, subject: string, status: "raised" | "cleared", message: string) {
  return { code, status, ...(subject === "" ? {} : { subject }), message };
}

export function listAlerts(db: Db): Promise<Alert[]> {
  return db.select().from(alerts).orderBy(asc(alerts.raisedAt));
}

import { asc, count, desc, eq, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Webhook, webhooks } from "../db/schema.ts";
import type { Statement } from "../db/writer.ts";

export type { Webhook };

export type NewWebhook = Pick<
  Webhook,
  "id" | "url" | "events" | "description" | "secret" | "apiKey" | "createdAt"
>;

/** Adds an endpoint that gets what happens from now on, unless there are `most` already. Returns a row if it did. */
export function insertWebhook(hook: NewWebhook, most: number): Statement {
  return {
    sql: `INSERT INTO webhooks (id, url, events, description, secret, api_key, created_at, updated_at, cursor)
          SELECT ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT max(id) FROM events), 0)
          WHERE (SELECT count(*) FROM webhooks) < ? RETURNING seq`,
    args: [
      hook.id,
      hook.url,
      JSON.stringify(hook.events),
      hook.description,
      hook.secret,
      hook.apiKey,
      hook.createdAt,
      hook.createdAt,
      most,
    ],
  };
}

export function findWebhook(db: Db, id: string): Promise<Webhook | undefined> {
  return db.select().from(webhooks).where(eq(webhooks.id, id)).get();
}

export type WebhookPage = {
  order: "asc" | "desc";
  limit: number;
  offset: number;
  after?: [number | string, number] | undefined;
};

export function listWebhooks(db: Db, page: WebhookPage): Promise<Webhook[]> {
  const direction = page.order === "asc" ? asc : desc;
  return db
    .select()
    .from(webhooks)
    .where(
      page.after &&
        sql`(${webhooks.createdAt}, ${webhooks.seq}) ${sql.raw(page.order === "asc" ? ">" : "<")} (${page.after[0]}, ${page.after[1]})`,
    )
    .orderBy(direction(webhooks.createdAt), direction(webhooks.seq))
    .limit(page.limit)
    .offset(page.offset);
}

export async function countWebhooks(db: Db): Promise<number> {
  const row = await db.select({ n: count() }).from(webhooks).get();
  return row?.n ?? 0;
}

/** Endpoints that deliveries go to. */
export function listActiveWebhooks(db: Db): Promise<Webhook[]> {
  return db.select().from(webhooks).where(eq(webhooks.isActive, true)).orderBy(asc(webhooks.seq));
}

/** Changes an endpoint; one that is active from now on is no longer disabled or failing. */
export function updateWebhook(
  id: string,
  {
    url,
    events,
    description,
    isActive,
  }: Pick<Webhook, "url" | "events" | "description" | "isActive">,
  now: number,
): Statement {
  return {
    sql: `UPDATE webhooks SET url = ?1, events = ?2, description = ?3, updated_at = ?5,
            failing_since = CASE WHEN ?4 AND NOT is_active THEN NULL ELSE failing_since END,
            disabled_reason = CASE WHEN ?4 THEN NULL ELSE disabled_reason END, is_active = ?4
          WHERE id = ?6`,
    args: [url, JSON.stringify(events), description, isActive, now, id],
  };
}

/** Gives an endpoint a new secret; the one before signs, too, until `overlapEndsAt`. */
export function rotateSecret(
  id: string,
  secret: string,
  overlapEndsAt: number,
  now: number,
): Statement {
  return {
    sql: `UPDATE webhooks SET previous_secret = secret, previous_secret_until = ?, secret = ?, updated_at = ?
          WHERE id = ?`,
    args: [overlapEndsAt, secret, now, id],
  };
}

/** Stops deliveries to an endpoint. Affects a row if there were any. */
export function disableWebhook(seq: number, reason: string, now: number): Statement {
  return {
    sql: `UPDATE webhooks SET is_active = 0, disabled_reason = ?, updated_at = ?
          WHERE seq = ? AND is_active = 1`,
    args: [reason, now, seq],
  };
}

/** Notes whether an endpoint takes what it is sent: since when it has not. */
export function noteHealth(seq: number, isHealthy: boolean, now: number): Statement {
  return isHealthy
    ? {
        sql: `UPDATE webhooks SET failing_since = NULL WHERE seq = ? AND failing_since IS NOT NULL`,
        args: [seq],
      }
    : {
        sql: `UPDATE webhooks SET failing_since = ? WHERE seq = ? AND failing_since IS NULL`,
        args: [now, seq],
      };
}

/** Moves endpoints on in the log. */
export function moveCursors(seqs: number[], cursor: number): Statement {
  return {
    sql: `UPDATE webhooks SET cursor = ? WHERE seq IN (SELECT value FROM json_each(?)) AND cursor < ?`,
    args: [cursor, JSON.stringify(seqs), cursor],
  };
}

export function deleteWebhook(id: string): Statement {
  return { sql: `DELETE FROM webhooks WHERE id = ? RETURNING seq`, args: [id] };
}

export type WebhookHealth = Record<
  "active" | "failing" | "disabled" | "fresh" | "retried" | "unread",
  number
> & { oldestAt: number | null };

/**
 * How many endpoints are served, fail at present, and were disabled for that; deliveries that were not
 * attempted yet, up to 1,000 of an endpoint, since when the oldest of them waits, and those that wait
 * to be tried again; and the most events that an active endpoint has still to be given.
 */
export const WEBHOOK_HEALTH: Statement = {
  sql: `SELECT total(is_active) AS active, total(is_active AND failing_since IS NOT NULL) AS failing,
               total(NOT is_active AND disabled_reason IS NOT NULL) AS disabled,
               (SELECT count(*) FROM webhook_deliveries WHERE next_at IS NOT NULL) AS retried,
               total((SELECT count(*) FROM (
                        SELECT 1 FROM webhook_deliveries WHERE webhook = w.seq
                          AND status = 'pending' AND next_at IS NULL LIMIT 1000))) AS fresh,
               min((SELECT at FROM webhook_deliveries
                    WHERE webhook = w.seq AND w.is_active AND status = 'pending' AND next_at IS NULL
                    ORDER BY event LIMIT 1)) AS oldestAt,
               coalesce(max(CASE WHEN is_active
                                 THEN (SELECT max(id) FROM events) - cursor END), 0) AS unread
        FROM webhooks w`,
  args: [],
};

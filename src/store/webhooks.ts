import { and, asc, count, eq, isNotNull, isNull, lt, sql } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { events } from "../db/schema/events.ts";
import { type Webhook, webhooks } from "../db/schema/webhooks.ts";
import type { Statement } from "../db/unit.ts";
import { insertWhere } from "./insert-where.ts";
import { keyset, type Page } from "./pages.ts";
import { toSql, type Which } from "./which.ts";

export type { Webhook };

export type NewWebhook = Pick<
  Webhook,
  "id" | "url" | "events" | "description" | "secret" | "isOpenAi" | "apiKey" | "createdAt"
>;

/** Adds an endpoint that receives events from now on, unless there are `most` already. Changes a row if it did. */
export function insertWebhook(hook: NewWebhook, most: number): Statement {
  const cursor = sql`(select coalesce(max(${events.id}), 0) from ${events})`;
  const isRoom = sql`(select count(*) from ${webhooks}) < ${most}`;
  return insertWhere(webhooks, { ...hook, updatedAt: hook.createdAt, cursor }, isRoom);
}

export function findWebhook(db: Db, id: string): Promise<Webhook | undefined> {
  return db.select().from(webhooks).where(eq(webhooks.id, id)).get();
}

export function listWebhooks(db: Db, page: Page): Promise<Webhook[]> {
  const { isAfter, inOrder } = keyset(page, webhooks.createdAt, webhooks.seq);
  return db
    .select()
    .from(webhooks)
    .where(isAfter)
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

/** Endpoints that were created through `/v1`, the newest first, after one of them. */
export function listOpenAiWebhooks(
  db: Db,
  { after, limit }: { after: Pick<Webhook, "createdAt" | "seq"> | null; limit: number },
): Promise<Webhook[]> {
  const key = after && ([after.createdAt, after.seq] as [number, number]);
  const page = { order: "desc" as const, after: key ?? undefined };
  const { isAfter, inOrder } = keyset(page, webhooks.createdAt, webhooks.seq);
  return db
    .select()
    .from(webhooks)
    .where(and(eq(webhooks.isOpenAi, true), isAfter))
    .orderBy(...inOrder)
    .limit(limit);
}

export async function countWebhooks(db: Db): Promise<number> {
  const row = await db.select({ n: count() }).from(webhooks).get();
  return row?.n ?? 0;
}

/** Active endpoints. */
export function listActiveWebhooks(db: Db): Promise<Webhook[]> {
  return db.select().from(webhooks).where(eq(webhooks.isActive, true)).orderBy(asc(webhooks.seq));
}

/** Only fields that a client changes: others may change them at the same time. */
export type WebhookChange = Partial<Pick<Webhook, "url" | "events" | "description" | "isActive">>;

/**
 * Changes an endpoint. If it becomes active, it is no longer marked as disabled or failing. With another URL, it is not
 * failing yet.
 */
export function updateWebhook(id: string, change: WebhookChange, now: number): Statement {
  const { isActive, failingSince, url } = webhooks;
  const isSame = and(
    change.isActive ? eq(isActive, true) : undefined,
    change.url === undefined ? undefined : eq(url, change.url),
  );
  return toStatement(
    build
      .update(webhooks)
      .set({
        ...change,
        updatedAt: now,
        ...(isSame ? { failingSince: sql`CASE WHEN ${isSame} THEN ${failingSince} END` } : {}),
        ...(change.isActive ? { disabledReason: null } : {}),
      })
      .where(eq(webhooks.id, id)),
  );
}

/** Gives an endpoint a new secret; the previous one also signs until `overlapEndsAt`. */
export function rotateSecret(
  id: string,
  secret: string,
  overlapEndsAt: number,
  now: number,
): Statement {
  return toStatement(
    build
      .update(webhooks)
      .set({
        secret,
        previousSecret: sql`${webhooks.secret}`,
        previousSecretUntil: overlapEndsAt,
        updatedAt: now,
      })
      .where(eq(webhooks.id, id)),
  );
}

/** An attempt says something only about the URL that it was made at. */
type Attempted = Pick<Webhook, "seq" | "url">;

/**
 * An active endpoint that still has the URL of an attempt. With `failingFrom`, only if nothing has been delivered since
 * that time.
 */
export function isStillAt({ seq, url }: Attempted, failingFrom?: number): Which {
  const where = "seq = ? AND is_active AND url = ?";
  if (failingFrom === undefined) return { where, args: [seq, url] };
  return { where: `${where} AND failing_since <= ?`, args: [seq, url, failingFrom] };
}

/** Stops deliveries to an endpoint that meets a condition. */
export function disableWebhook(which: Which, reason: string, now: number): Statement {
  return toStatement(
    build
      .update(webhooks)
      .set({ isActive: false, disabledReason: reason, updatedAt: now })
      .where(toSql(which)),
  );
}

/** Records since when an endpoint has been failing, or that it works again, if it still has the URL of the attempt. */
export function noteHealth({ seq, url }: Attempted, isHealthy: boolean, now: number): Statement {
  const { failingSince } = webhooks;
  return toStatement(
    build
      .update(webhooks)
      .set({ failingSince: isHealthy ? null : now })
      .where(
        and(
          eq(webhooks.seq, seq),
          eq(webhooks.url, url),
          isHealthy ? isNotNull(failingSince) : isNull(failingSince),
        ),
      ),
  );
}

/**
 * Moves the cursors of active endpoints in the event log forward, except of those whose types have changed: events that
 * were passed over may be of the new ones.
 */
export function moveCursors(hooks: Pick<Webhook, "seq" | "events">[], cursor: number): Statement {
  const planned = JSON.stringify(hooks.map(({ seq, events }) => [seq, JSON.stringify(events)]));
  return toStatement(
    build
      .update(webhooks)
      .set({ cursor })
      .where(
        and(
          sql`${webhooks.seq} IN (SELECT value ->> 0 FROM json_each(${planned}))`,
          sql`(${webhooks.seq}, ${webhooks.events}) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${planned}))`,
          eq(webhooks.isActive, true),
          lt(webhooks.cursor, cursor),
        ),
      ),
  );
}

export function deleteWebhook(id: string): Statement {
  return toStatement(build.delete(webhooks).where(eq(webhooks.id, id)));
}

/**
 * The waiting deliveries of an endpoint: those not attempted yet, the replays among them separately, and when the
 * next retry is due.
 */
export type Waiting = { seq: number; fresh: number; replays: number; dueAt: number | null };

/** One row for each active endpoint with waiting deliveries. */
export const WAITING_AT_WEBHOOKS: Statement<Waiting> = {
  sql: `SELECT seq, waiting - retrying - replaying AS fresh, replaying AS replays,
               CASE WHEN retrying > 0 THEN
                 (SELECT next_at FROM webhook_deliveries
                  WHERE webhook = w.seq AND next_at IS NOT NULL ORDER BY next_at LIMIT 1) END AS dueAt
        FROM webhooks w WHERE is_active AND waiting > 0`,
  args: [],
};

export type WebhookHealth = Record<
  "active" | "failing" | "disabled" | "fresh" | "retried" | "held" | "unread",
  number
> & { oldestAt: number | null };

/** How many endpoints are examined for their oldest delivery; those that are furthest behind come first. */
const MOST_EXAMINED = 100;

/**
 * How many endpoints are active, are failing now, and were disabled for that; deliveries to active ones that were not
 * attempted yet, and that wait for a retry; waiting deliveries of inactive endpoints; the most events that an active
 * endpoint is behind; and the time of the oldest event without an attempted delivery. The work grows with the number
 * of endpoints, not with that of deliveries.
 */
export const WEBHOOK_HEALTH: Statement<WebhookHealth> = {
  sql: `SELECT total(is_active) AS active, total(is_active AND failing_since IS NOT NULL) AS failing,
               total(NOT is_active AND disabled_reason IS NOT NULL) AS disabled,
               total(iif(is_active, retrying, 0)) AS retried,
               total(iif(is_active, waiting - retrying, 0)) AS fresh,
               total(iif(is_active, 0, waiting)) AS held,
               (SELECT min(at) FROM (
                  SELECT (SELECT at FROM webhook_deliveries
                          WHERE webhook = l.seq AND status = 'pending' AND next_at IS NULL
                            AND is_replay = 0
                          ORDER BY event LIMIT 1) AS at
                  FROM (SELECT seq FROM webhooks WHERE is_active AND waiting > retrying + replaying
                        ORDER BY cursor LIMIT ${MOST_EXAMINED}) l
                  UNION ALL
                  SELECT at FROM events
                  WHERE id = (SELECT min(id) FROM events
                              WHERE id > (SELECT min(cursor) FROM webhooks WHERE is_active))
               )) AS oldestAt,
               coalesce(max(CASE WHEN is_active
                                 THEN (SELECT max(id) FROM events) - cursor END), 0) AS unread
        FROM webhooks`,
  args: [],
};

import { and, asc, count, eq, gt, gte, isNull, lte, type SQL, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Delivery, webhookDeliveries as deliveries } from "../db/schema/deliveries.ts";
import type { Statement } from "../db/unit.ts";
import type { Attempt } from "../domain/webhook.ts";
import { keyset, type Page } from "./pages.ts";
import { prepareOnce } from "./prepared.ts";
import { overValues } from "./values.ts";

export type { Delivery };

export type NewDelivery = Pick<
  Delivery,
  "webhook" | "event" | "type" | "task" | "batch" | "body" | "at" | "trace"
>;

/** Adds deliveries. Existing ones, of the same event to the same endpoint, stay as they are. */
export function insertDeliveries(rows: NewDelivery[], { isReplay = false } = {}): Statement[] {
  return overValues(
    rows,
    (row) => [row.webhook, row.event, row.type, row.task, row.batch, row.body, row.at, row.trace],
    (values) => `
      INSERT INTO webhook_deliveries (webhook, event, type, task, batch, body, at, trace, status, is_replay)
      SELECT column1, column2, column3, column4, column5, column6, column7, column8, 'pending', ${isReplay ? 1 : 0}
      FROM ${values} WHERE true ON CONFLICT DO NOTHING`,
    {},
  );
}

/** Adds a test delivery that was already made. Returns its number. */
export function insertTestDelivery(
  row: Omit<NewDelivery, "event" | "trace">,
  attempt: Attempt,
): Statement<{ seq: number }> {
  return {
    sql: `INSERT INTO webhook_deliveries (webhook, type, body, at, status, attempts, last_attempt_at,
            response_status, latency_ms, error, snippet, log, completed_at)
          VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
    args: [
      row.webhook,
      row.type,
      row.body,
      row.at,
      attempt.isDelivered ? "delivered" : "failed",
      attempt.at,
      attempt.status,
      attempt.latencyMs,
      attempt.error,
      attempt.snippet,
      JSON.stringify([toLogEntry(attempt)]),
      attempt.at + attempt.latencyMs,
    ],
  };
}

const OF_WEBHOOK = eq(deliveries.webhook, sql.placeholder("webhook"));
/** Spelled as in the index. With a bound parameter SQLite would not use the index. */
const IS_FRESH = and(
  OF_WEBHOOK,
  sql`${deliveries.status} = 'pending'`,
  isNull(deliveries.nextAt),
  eq(deliveries.isReplay, sql.placeholder("isReplay")),
);

/** Deliveries, or replays, that were not attempted yet, in the order of their events. */
export function listFresh(
  db: Db,
  webhook: number,
  { isReplay, limit }: { isReplay: boolean; limit: number },
): Promise<Delivery[]> {
  return prepareOnce(db, "listFresh", () =>
    db
      .select()
      .from(deliveries)
      .where(IS_FRESH)
      .orderBy(asc(deliveries.event))
      .limit(sql.placeholder("limit"))
      .prepare(),
  ).all({ webhook, isReplay, limit });
}

/** Deliveries whose next attempt is due, the longest overdue first. */
export function listDue(db: Db, webhook: number, now: number, limit: number): Promise<Delivery[]> {
  return prepareOnce(db, "listDue", () =>
    db
      .select()
      .from(deliveries)
      .where(and(OF_WEBHOOK, lte(deliveries.nextAt, sql.placeholder("now"))))
      .orderBy(asc(deliveries.nextAt))
      .limit(sql.placeholder("limit"))
      .prepare(),
  ).all({ webhook, now, limit });
}

/** When the next attempt of an endpoint is due, the first of those after `now`. */
export async function findNextDue(
  db: Db,
  webhook: number,
  now: number,
): Promise<number | undefined> {
  const row = await prepareOnce(db, "findNextDue", () =>
    db
      .select({ at: deliveries.nextAt })
      .from(deliveries)
      .where(and(OF_WEBHOOK, gt(deliveries.nextAt, sql.placeholder("now"))))
      .orderBy(asc(deliveries.nextAt))
      .limit(1)
      .prepare(),
  ).get({ webhook, now });
  return row?.at ?? undefined;
}

/**
 * Records the outcome of an attempt, unless the delivery was replayed meanwhile. `nextAt`: the time of the next
 * attempt, if there is one.
 */
export function recordAttempt(
  delivery: Pick<Delivery, "seq" | "attempts">,
  attempt: Attempt,
  nextAt: number | undefined,
): Statement {
  const end = attempt.at + attempt.latencyMs;
  const isOver = attempt.isDelivered || nextAt === undefined;
  return {
    sql: `UPDATE webhook_deliveries SET status = ?, attempts = attempts + 1, next_at = ?, last_attempt_at = ?,
            response_status = ?, latency_ms = ?, error = ?, snippet = ?, completed_at = ?,
            log = json_insert(coalesce(log, '[]'), '$[#]', json(?))
          WHERE seq = ? AND status = 'pending' AND attempts = ?`,
    args: [
      attempt.isDelivered ? "delivered" : isOver ? "failed" : "pending",
      attempt.isDelivered ? null : (nextAt ?? null),
      attempt.at,
      attempt.status,
      attempt.latencyMs,
      attempt.error,
      attempt.snippet,
      isOver ? end : null,
      JSON.stringify(toLogEntry(attempt)),
      delivery.seq,
      delivery.attempts,
    ],
  };
}

function toLogEntry({ at, status, latencyMs, error }: Attempt) {
  return { at, status, latencyMs, error };
}

const AFRESH = `status = 'pending', attempts = 0, next_at = NULL, completed_at = NULL, is_replay = 1`;

/** Sends a delivery once more, as if it were new. */
export function replayDelivery(seq: number): Statement {
  return { sql: `UPDATE webhook_deliveries SET ${AFRESH} WHERE seq = ?`, args: [seq] };
}

/**
 * Sends up to `limit` deliveries once more: those of events since `since`, after the row `after`. One
 * that waits for its next attempt is sent at once; one that was not attempted yet is sent anyway.
 */
export function replaySome(
  webhook: number,
  {
    since,
    onlyFailed,
    after,
    limit,
  }: { since: number; onlyFailed: boolean; after: number; limit: number },
): Statement<{ seq: number }> {
  return {
    sql: `UPDATE webhook_deliveries SET ${AFRESH}
          WHERE seq IN (SELECT seq FROM webhook_deliveries
                        WHERE webhook = ? AND seq > ? AND at >= ? AND event IS NOT NULL
                          AND (next_at IS NOT NULL OR ${onlyFailed ? "status = 'failed'" : "status <> 'pending'"})
                        ORDER BY seq LIMIT ?)
          RETURNING seq`,
    args: [webhook, after, since, limit],
  };
}

/** Removes up to `limit` deliveries of an endpoint. */
export function deleteDeliveriesOf(webhook: number, limit: number): Statement {
  return {
    sql: `DELETE FROM webhook_deliveries WHERE seq IN (
            SELECT seq FROM webhook_deliveries WHERE webhook = ? LIMIT ?)`,
    args: [webhook, limit],
  };
}

export function findDelivery(db: Db, webhook: number, seq: number): Promise<Delivery | undefined> {
  return db
    .select()
    .from(deliveries)
    .where(and(eq(deliveries.webhook, webhook), eq(deliveries.seq, seq)))
    .get();
}

export type DeliveryFilter = {
  status?: Delivery["status"] | undefined;
  type?: string | undefined;
  since?: number | undefined;
};

/** One page of an endpoint's deliveries, in the order in which they were made. */
export function listDeliveries(
  db: Db,
  webhook: number,
  filter: DeliveryFilter,
  page: Page,
): Promise<Delivery[]> {
  const { isAfter, inOrder } = keyset(page, deliveries.seq, deliveries.seq);
  return db
    .select()
    .from(deliveries)
    .where(and(...conditions(webhook, filter), isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countDeliveries(
  db: Db,
  webhook: number,
  filter: DeliveryFilter,
): Promise<number> {
  const row = await db
    .select({ n: count() })
    .from(deliveries)
    .where(and(...conditions(webhook, filter)))
    .get();
  return row?.n ?? 0;
}

function conditions(webhook: number, { status, type, since }: DeliveryFilter): (SQL | undefined)[] {
  return [
    eq(deliveries.webhook, webhook),
    status && eq(deliveries.status, status),
    type === undefined ? undefined : eq(deliveries.type, type),
    since === undefined ? undefined : gte(deliveries.at, since),
  ];
}

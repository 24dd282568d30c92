import type { InValue } from "@libsql/client";

import { accountsOf, PAYERS } from "../domain/batch.ts";
import type { LanePrice } from "../domain/prices.ts";
import { COUNTED_ENDPOINTS } from "../domain/request.ts";
import { storedAnswer } from "./base-answers.ts";

/*
 * How many calls may start under a cap or a budget. A call is assumed to cost what the dearest one did so
 * far. As long as none has cost anything, calls run one at a time; and because the next one may
 * be dearer than all before, at most one more call is in flight than have ended. Where that is likely, it goes alone
 * (`engine/unproven.ts`).
 *
 *   `maxCostUsd` of a batch     pays for the calls of its tasks, however they are executed. One starts where
 *                               what is left pays for it and all that are under way.
 *   `monthlyBudgetUsd` of a key pays for the runs that the key has requested. A claim writes its reservation into
 *                               its rows (`reserved_usd`), at what the calls of their batch cost,
 *                               or else those of the key. While nothing is reserved one may start
 *                               as long as anything is left.
 *
 * Dry runs, and models that cost nothing, are free.
 */

const NO_LIMIT = 1_000_000_000;
/** Sums of prices are not exact. */
const ROUNDING = "1e-9";

/** SQL for how many more calls of a batch `b` may start, judging by its own calls. */
const TRUSTED = `CASE WHEN b.dearest_usd IS NULL THEN b.running = 0
                      ELSE 1 + b.completed + b.failed - b.running END`;

/** SQL for how many more calls the cap of a batch `b` allows. */
const WITHIN_CAP = `CASE
  WHEN b.max_cost_usd IS NULL THEN ${NO_LIMIT}
  WHEN b.unpriced > 0 OR b.cost_usd >= b.max_cost_usd THEN 0
  WHEN b.dearest_usd IS NULL THEN b.running = 0
  ELSE min(CAST((b.max_cost_usd - b.cost_usd) / b.dearest_usd + ${ROUNDING} AS INTEGER) - b.running,
           ${TRUSTED}) END`;

/** SQL that is true of a batch `b` whose cap does not allow another call. */
export const CAP_IS_SPENT = `(b.max_cost_usd IS NOT NULL AND (b.unpriced > 0
  OR b.cost_usd >= b.max_cost_usd
  OR (b.max_cost_usd - b.cost_usd) / b.dearest_usd + ${ROUNDING} < 1))`;

/** SQL for the row number of a key if it has a budget. */
const budgeted = (payer: string) =>
  `(SELECT k.seq FROM api_keys k WHERE k.seq = ${payer} AND k.monthly_budget_usd IS NOT NULL)`;

/** SQL that is true of a batch `b` that has a cap, or whose payer has a budget. */
export const IS_LIMITED = `(b.max_cost_usd IS NOT NULL OR ${budgeted("b.payer")} IS NOT NULL)`;

/**
 * SQL for how many more calls the budget of a payer allows in the month `?`. `dearest` is SQL for the assumed cost of
 * a call if it is not to be derived from the key's own calls.
 */
export function withinBudget(payer: string, dearest: string): string {
  return `coalesce((
    WITH account AS MATERIALIZED (
      SELECT k.monthly_budget_usd - coalesce(u.cost_usd, 0) AS unspent,
             coalesce(${dearest}, k.dearest_usd) AS dearest, coalesce(u.tasks, 0) AS ended,
             (SELECT total(reserved_usd) FROM queue
              WHERE payer = k.seq AND owner IS NOT NULL AND reserved_usd > 0)
              + (SELECT total(usd) FROM live_calls WHERE payer = k.seq) AS reserved
      FROM api_keys k LEFT JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
      WHERE k.seq = ${payer} AND k.monthly_budget_usd IS NOT NULL)
    SELECT CASE
      WHEN unspent <= 0 THEN 0
      WHEN dearest IS NULL THEN reserved = 0
      ELSE max(reserved = 0, min(1 + ended,
        CAST((unspent - reserved) / dearest + ${ROUNDING} AS INTEGER))) END FROM account), ${NO_LIMIT})`;
}

/** SQL for what a claim reserves for each call: the whole budget, until some call has cost something. */
export function reservation(payer: string, dearest: string): string {
  return `coalesce((SELECT coalesce(${dearest}, k.dearest_usd, k.monthly_budget_usd)
    FROM api_keys k WHERE k.seq = ${payer} AND k.monthly_budget_usd IS NOT NULL), 0)`;
}

type Sql = { sql: string; args: InValue[] };

/** What a claim may take: which rows of the queue, how many, and what each of them reserves. */
export type Terms = { which: Sql; room: Sql; reserved: Sql };

const plain = (sql: string | number): Sql => ({ sql: String(sql), args: [] });
const FREE: Terms = { which: plain("TRUE"), room: plain(NO_LIMIT), reserved: plain(0) };
/** A node may not know yet that a former dry run is a real run now, which costs money. */
const OF_DRY_RUN: Terms = { ...FREE, which: plain("is_dry_run") };

/** SQL that is true of a row of the queue that needs no call, because a provider has answered the same request. */
const IS_ANSWERED = `EXISTS (
  SELECT 1 FROM task_inputs i ${storedAnswer()}
  WHERE i.task = queue.task AND e.response IS NOT NULL AND e.provider <> 'simulator')`;

/**
 * SQL that is true of a row of the queue if the budget of a payer can be kept although nobody knows what its call costs
 * before it ends: no call of the payer had an unknown cost in the month `?`, or the texts of the call show its cost.
 */
const CAN_BE_COUNTED = `(NOT EXISTS (
    SELECT 1 FROM api_keys k CROSS JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
    WHERE k.seq = ? AND k.monthly_budget_usd IS NOT NULL AND u.unpriced > 0)
  OR EXISTS (SELECT 1 FROM task_inputs i
    WHERE i.task = queue.task AND i.endpoint IN (${COUNTED_ENDPOINTS.map((one) => `'${one}'`).join()}))
  OR ${IS_ANSWERED})`;

/** The terms of a batch's lane; the SQL refers to a row `b` of `batches`. */
export function termsOfBatch(lane: number, price: LanePrice, month: string): Terms {
  if (price === "free") return FREE;
  if (price === "dryRun") return OF_DRY_RUN;
  if (price === "unknown") return { ...FREE, which: { sql: UNLIMITED_OR_ANSWERED, args: [lane] } };
  return {
    ...FREE,
    room: { sql: ROOM_OF_BATCH, args: [month] },
    reserved: { sql: RESERVED_OF_BATCH, args: [lane] },
  };
}

const unlessDryRun = (room: string) => `CASE WHEN b.is_dry_run THEN ${NO_LIMIT} ELSE ${room} END`;
const UNLIMITED_OR_ANSWERED = `(EXISTS (SELECT 1 FROM batches b
    WHERE b.seq = ? AND (b.is_dry_run OR NOT ${IS_LIMITED})) OR ${IS_ANSWERED})`;
const ROOM_OF_BATCH = unlessDryRun(`min(${WITHIN_CAP},
  iif(${budgeted("b.payer")} IS NULL, ${NO_LIMIT}, ${TRUSTED}),
  ${withinBudget("b.payer", "b.dearest_usd")})`);
const RESERVED_OF_BATCH = `coalesce((SELECT ${reservation("b.payer", "b.dearest_usd")}
  FROM batches b WHERE b.seq = ? AND NOT b.is_dry_run), 0)`;

/** The terms of a lane of single tasks. */
export function termsOfSingle(lane: number, price: LanePrice, month: string): Terms {
  const { batch, payer } = accountsOf(lane);
  if (price === "free" || (batch === 0 && payer === 0)) return FREE;
  if (price === "dryRun") return OF_DRY_RUN;
  if (price === "unknown") return { ...FREE, which: plain(IS_ANSWERED) };
  const cap = { sql: CAP_ROOM_OF_SINGLE, args: [batch] };
  if (payer === 0) return { ...FREE, room: cap };
  const budget = { sql: BUDGET_ROOM_OF_SINGLE, args: [batch, month, payer] };
  return {
    which: { sql: CAN_BE_COUNTED, args: [month, payer] },
    room:
      batch === 0
        ? budget
        : { sql: `min(${cap.sql}, ${budget.sql})`, args: [...cap.args, ...budget.args] },
    reserved: { sql: RESERVED_OF_SINGLE, args: [batch, payer] },
  };
}

/** The dearest call of lane 0 means nothing, because all keys share that lane. */
const DEAREST_OF_SINGLE = `(SELECT dearest_usd FROM batches WHERE seq = ? AND seq > 0)`;
const CAP_ROOM_OF_SINGLE = `(SELECT ${WITHIN_CAP} FROM batches b WHERE b.seq = ?)`;
const BUDGET_ROOM_OF_SINGLE = withinBudget("?", DEAREST_OF_SINGLE);
const RESERVED_OF_SINGLE = reservation("?", DEAREST_OF_SINGLE);

/** SQL for the lane of a task that is executed by itself, from the row numbers of its batch and its payer. */
export function laneOfSingle(batch: string, payer: string): string {
  return `-(${PAYERS} * coalesce((SELECT b.seq FROM batches b
              WHERE b.seq = ${batch} AND b.max_cost_usd IS NOT NULL), 0)
            + coalesce(${budgeted(payer)}, 0))`;
}

import type { InValue } from "@libsql/client";

import type { Statement } from "../db/unit.ts";
import { accountsOf, isSingle } from "../domain/batch.ts";
import { PRIORITIES } from "../domain/task.ts";
import { holdSpent, monthOf, pauseSpent, pauseUnpriced } from "./budgets.ts";
import type { ClaimUnit, LaneClaim } from "./claim.ts";
import { linked } from "./linked.ts";
import { termsOfBatch, termsOfSingle } from "./room.ts";

/** Takes up to the wanted number of ready rows of a lane, as far as its batch and its budget allow. */
export function takeFrom(
  wanted: LaneClaim,
  owner: number,
  claimNo: number,
  now: number,
): Statement[] {
  const { lane, limit, price } = wanted;
  const isBatch = !isSingle(lane);
  const terms = isBatch
    ? termsOfBatch(lane, price, monthOf(now))
    : termsOfSingle(lane, price, monthOf(now));
  const rows = isBatch
    ? {
        sql: `SELECT max(0, min(?, coalesce(b.max_concurrency, 1000000) - b.running, ${terms.room.sql}))
              FROM batches b WHERE b.seq = ? AND b.status = 'running'`,
        args: [limit, ...terms.room.args, lane],
      }
    : { sql: `SELECT max(0, min(?, ${terms.room.sql}))`, args: [limit, ...terms.room.args] };
  const payer = isBatch ? "(SELECT payer FROM batches WHERE seq = ?)" : "payer";
  const next = nextReady(wanted, terms.which);
  const take: Statement = {
    sql: `UPDATE queue SET owner = ?, claim = ?, claimed_at = ?,
            is_first = started_at IS NULL, started_at = coalesce(started_at, ?), attempt = attempt + 1,
            payer = ${payer}, reserved_usd = ${terms.reserved.sql}
          WHERE task IN (${next.sql} LIMIT coalesce((${rows.sql}), 0))`,
    args: ([owner, claimNo, now, now] as InValue[]).concat(
      isBatch ? [lane] : [],
      terms.reserved.args,
      next.args,
      rows.args,
    ),
  };
  // Rows of lanes without a cap are counted together.
  const counted = isBatch ? lane : accountsOf(lane).batch;
  if (counted === 0) return [take];
  return linked(take, (changed) => ({
    sql: `UPDATE batches SET running = running + ${changed} WHERE seq = ?`,
    args: [counted],
  }));
}

type Condition = { readonly sql: string; readonly args: InValue[] };

/**
 * The ready tasks of a lane that meet a condition, in the order of a claim; the caller appends a `LIMIT`. They are
 * sorted by priority and then by age; with `byAge`, only by age. The oldest of all are then found among the oldest of
 * each priority, so that an index serves the query.
 */
export function nextReady(
  { lane, model, limit, byAge }: Pick<LaneClaim, "lane" | "model" | "limit" | "byAge">,
  which: Condition,
): Condition {
  const ready = `FROM queue WHERE lane = ? AND model = ? AND owner IS NULL AND run_at IS NULL AND ${which.sql}`;
  const args: InValue[] = [lane, model, ...which.args];
  if (!byAge) return { sql: `SELECT task ${ready} ORDER BY priority, queued_at, task`, args };
  const oldest = PRIORITIES.map(
    (_, rank) => `SELECT * FROM (SELECT task, queued_at ${ready} AND priority = ${rank}
                                 ORDER BY queued_at, task LIMIT ?)`,
  );
  return {
    sql: `SELECT task FROM (${oldest.join(" UNION ALL ")}) ORDER BY queued_at, task`,
    args: PRIORITIES.flatMap(() => args.concat(limit)),
  };
}

/**
 * Finds lanes that get nothing for lack of money, even if no call of theirs is in flight whose end would report it.
 */
export function whereMoneyEnds(
  lanes: LaneClaim[],
  mine: [owner: number, claimNo: number],
  now: number,
): Pick<ClaimUnit, "spent" | "unpriced" | "held"> {
  const limited = lanes.filter(({ isLimited }) => isLimited);
  const batches = limited.filter(({ lane }) => !isSingle(lane));
  const unpriced = batches.filter(({ price }) => price === "unknown");
  const payers = limited.flatMap(({ lane }) =>
    isSingle(lane) && accountsOf(lane).payer > 0 ? accountsOf(lane).payer : [],
  );
  return {
    spent:
      batches.length > 0
        ? pauseSpent(
            batches.map(({ lane }) => lane),
            [],
            now,
          )
        : undefined,
    unpriced: unpriced.length > 0 ? pauseUnpriced(unpriced, mine, now) : undefined,
    held: payers.length > 0 ? holdSpent(payers, now) : [],
  };
}

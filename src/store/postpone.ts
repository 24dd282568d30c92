import type { Statement } from "../db/unit.ts";
import type { Repair } from "../domain/ask-for-json.ts";
import { FLEX_MARK } from "../domain/flex.ts";
import { monthOf } from "./budgets.ts";
import { LEAVES_FLEX } from "./flex.ts";

/** The usage of a failed call, or of an answer that was not good enough; `u` in USD, `null` if the price is unknown. */
type Spent = { p: number; c: number; k: number; r: number; u: number | null };

/**
 * An attempt after which the run goes on: after a failure (`f` 1) at time `at`; after a refusal such as a rate limit
 * (`f` 0) at once, as if it had not been tried. `entry`, if given, is added to the run's log.
 */
export type Retry = {
  t: number;
  c: number;
  f: 0 | 1;
  at: number | null;
  entry?: Record<string, unknown>;
  /**
   * The attempt was answered, and the answer is to be repaired or the run escalated to another model. It counts as an
   * attempt and not as a failure.
   */
  next?: "repair" | "escalation";
  /** What the attempt has used, which is kept for the execution. */
  spent?: Spent;
  /** With `repair`: what the next call quotes. */
  repair?: Repair;
  /** It no longer waits for the flex tier. */
  x?: 1;
};

/** SQL for the cost of an attempt, if known. */
const USD = "(r.value ->> '$.spent.u')";
/** SQL that is true of an attempt that cost money, but nobody knows how much. */
const IS_UNPRICED = `(NOT q.is_dry_run AND r.value ->> '$.spent.p' IS NOT NULL AND ${USD} IS NULL)`;
const LATER_IS_UNPRICED = "(later.spent ->> 'p' IS NOT NULL AND later.spent ->> 'u' IS NULL)";

/** SQL for the lane of a row of the queue whose task is escalated to the model of `escalateTo`. */
const ESCALATED = `(SELECT t.escalate_to FROM tasks t WHERE t.seq = queue.task) || iif(flex_until IS NULL, '', '${FLEX_MARK}')`;

const FENCE = `json_each(?) r CROSS JOIN queue q
  ON q.task = r.value ->> 't' AND +q.owner = ? AND q.claim = r.value ->> 'c'`;

/** Returns runs to the queue until their next attempt, under the same fence as `settle`. */
export function postpone(retries: Retry[], owner: number, now: number): Statement[] {
  const fence: [string, number] = [JSON.stringify(retries), owner];
  return [
    {
      sql: `UPDATE batches SET running = running - failed_now.calls,
              cost_usd = batches.cost_usd + failed_now.usd,
              estimated_usd = batches.estimated_usd + failed_now.estimated_usd,
              prompt_tokens = batches.prompt_tokens + failed_now.prompt_tokens,
              completion_tokens = batches.completion_tokens + failed_now.completion_tokens,
              unpriced = batches.unpriced + failed_now.unpriced,
              dearest_usd = nullif(max(coalesce(batches.dearest_usd, 0), failed_now.dearest_usd), 0)
            FROM (SELECT t.batch, count(*) AS calls, total(iif(q.is_dry_run, 0, ${USD})) AS usd,
                         total(iif(q.is_dry_run, ${USD}, 0)) AS estimated_usd,
                         total(r.value ->> '$.spent.p') AS prompt_tokens, total(r.value ->> '$.spent.c') AS completion_tokens,
                         sum(${IS_UNPRICED}) AS unpriced,
                         coalesce(max(iif(q.is_dry_run, 0, ${USD})), 0) AS dearest_usd
                  FROM ${FENCE} CROSS JOIN tasks t ON t.seq = q.task GROUP BY t.batch) failed_now
            WHERE batches.seq = failed_now.batch`,
      args: fence,
    },
    ...(retries.some(({ spent }) => spent !== undefined) ? charge(fence, now) : []),
    {
      sql: `UPDATE queue SET owner = NULL, claim = NULL, run_at = later.at, failures = failures + later.f,
              model = CASE WHEN later.x THEN ${LEAVES_FLEX.model} WHEN later.next = 'escalation' THEN ${ESCALATED} ELSE model END,
              flex_until = iif(later.x, ${LEAVES_FLEX.until}, flex_until),
              attempt = attempt - iif(later.f OR later.next IS NOT NULL, 0, 1),
              repairs = repairs + (later.next IS 'repair'),
              repair = CASE later.next WHEN 'repair' THEN later.repair WHEN 'escalation' THEN NULL ELSE queue.repair END,
              is_escalated = iif(later.next IS 'escalation', TRUE, is_escalated),
              earlier_prompt_tokens = earlier_prompt_tokens + coalesce(later.spent ->> 'p', 0),
              earlier_completion_tokens = earlier_completion_tokens + coalesce(later.spent ->> 'c', 0),
              earlier_cached_tokens = earlier_cached_tokens + coalesce(later.spent ->> 'k', 0),
              earlier_reasoning_tokens = earlier_reasoning_tokens + coalesce(later.spent ->> 'r', 0),
              earlier_usd = earlier_usd + coalesce(later.spent ->> 'u', 0),
              earlier_unpriced = earlier_unpriced + ${LATER_IS_UNPRICED},
              log = CASE WHEN later.entry IS NULL THEN log
                         ELSE json_insert(coalesce(log, '[]'), '$[#]', json(later.entry)) END
            FROM (SELECT q.task, r.value ->> 'at' AS at, r.value ->> 'f' AS f,
                    r.value ->> 'x' AS x, r.value ->> 'next' AS next, r.value -> 'repair' AS repair, r.value -> 'spent' AS spent,
                    json_set(r.value -> 'entry', '$.attempt', q.attempt, '$.startedAt', q.claimed_at) AS entry
                  FROM ${FENCE}) later
            WHERE queue.task = later.task`,
      args: fence,
    },
  ];
}

/** Charges attempts to their payers. */
function charge(fence: [string, number], now: number): Statement[] {
  return [
    {
      sql: `INSERT INTO api_key_usage (api_key, month, tasks, prompt_tokens, completion_tokens, cost_usd, unpriced)
            SELECT q.payer, ?, 0, total(r.value ->> '$.spent.p'), total(r.value ->> '$.spent.c'),
                   total(iif(q.is_dry_run, 0, ${USD})), sum(${IS_UNPRICED}) FROM ${FENCE}
            WHERE q.payer IS NOT NULL GROUP BY q.payer
            ON CONFLICT (api_key, month) DO UPDATE SET prompt_tokens = prompt_tokens + excluded.prompt_tokens,
              completion_tokens = completion_tokens + excluded.completion_tokens,
              cost_usd = cost_usd + excluded.cost_usd, unpriced = unpriced + excluded.unpriced`,
      args: [monthOf(now), ...fence],
    },
    {
      sql: `UPDATE api_keys SET dearest_usd = max(coalesce(dearest_usd, 0), paid.usd)
            FROM (SELECT q.payer, max(iif(q.is_dry_run, 0, ${USD})) AS usd FROM ${FENCE} GROUP BY q.payer) paid
            WHERE api_keys.seq = paid.payer AND paid.usd > 0`,
      args: fence,
    },
  ];
}

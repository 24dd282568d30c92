import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { holdSpent, monthOf, noteDearest, pauseSpent } from "./budgets.ts";
import { byNumber, COST, finishBatches } from "./counters.ts";
import { ENDED } from "./ended.ts";
import { GENERATION_OF_BATCH } from "./generations.ts";
import { linked } from "./linked.ts";
import { forEachMark } from "./marks.ts";
import { addEnded, type Tally } from "./rollups.ts";
import { costsInAll, inAll, LAST_IS_UNPRICED, ofLastCall } from "./spent.ts";
import { overValues } from "./values.ts";

/** How a run ended, as the engine reports it. The queue knows the rest. */
export type Final = {
  task: number;
  claim: number;
  status: "completed" | "failed";
  at: number;
  provider: string;
  /** The model that answered, or that was called; and the requested one, where that is another. */
  model: string;
  fallbackFrom: string | null;
  requestId: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  costUsd: number | null;
  /** The provider's answer and the error for users, JSON texts. */
  response: string | null;
  error: string | null;
  /** The answer is that of an earlier call, or of another call that was in flight. */
  isCached: boolean;
  /** Parts of the request that the provider refused, so it was sent without them. */
  adjusted: string[];
  /** The answer was cut off. */
  isTruncated: boolean;
  /** The answer had no usage, so the tokens were counted by this program. */
  isEstimated: boolean;
  /** The answer is the repair of one that did not match its schema. */
  isRepaired: boolean;
  /** The model that was called first, if the run was escalated because its answer was not good enough. */
  escalatedFrom: string | null;
  /** Set if the answer may be reused for other tasks. */
  cacheKey: string | null;
};

/** Like `Final`, but without a provider if no call is known to have ended. */
export type FinalRow = Omit<Final, "provider"> & { provider: string | null };

export type Settling = {
  finals: FinalRow[];
  batches: number[];
  /** The runs added up. */
  tallies: Tally[];
  /** The cost of the dearest call of each payer, if it exceeds all earlier ones. */
  dearest: [payer: number, usd: number][];
  /** A cap or a budget may limit some of the runs. */
  mayBeLimited: boolean;
  /** The database is a local file, whose driver keeps statements prepared. */
  isExclusive: boolean;
};

/**
 * Ends runs: writes their executions, their tasks, their batches' counters, the usage of the API keys that pay for
 * them (`api_key_usage`), their events, and the batches that they complete, in one unit. The first statement is the
 * fence: a run whose queue row is gone or has another owner or claim gets no execution, and the others serve only
 * runs that have a queue row and an execution of the same claim. So a late answer changes nothing. No task may occur
 * twice in `finals`.
 */
export function settle(what: Settling, owner: number, now: number): Statement[] {
  const { finals, batches, tallies } = what;
  const ended: [string, number] = [JSON.stringify(finals.map(({ task }) => task)), owner];
  return [
    ...insertExecutions(what, owner),
    {
      sql: `UPDATE tasks SET status = ended.status, run = ended.run, attempts = ended.attempts
              ${forEachMark(({ mark }) => `${mark} = ended.${mark}`)},
              started_at = ended.started_at, completed_at = ended.completed_at,
              updated_at = ended.completed_at, generation = ${GENERATION_OF_BATCH}
            FROM (SELECT e.task, e.run, e.status, e.attempts, e.started_at, e.completed_at
                    ${forEachMark(({ mark }) => `e.${mark}`)}
                  FROM ${ENDED}) ended
            WHERE tasks.seq = ended.task`,
      args: ended,
    },
    ...linked(
      {
        sql: `INSERT INTO events (at, type, task, batch, task_seq, run, data, trace)
              SELECT e.completed_at, 'task.' || e.status, t.id, nullif(b.id, ''), e.task, e.run,
                     CASE WHEN e.error IS NOT NULL THEN json_object('error', e.error ->> 'code') END, q.trace
              FROM ${ENDED} CROSS JOIN tasks t ON t.seq = e.task CROSS JOIN batches b ON b.seq = t.batch`,
        args: ended,
      },
      ...addEnded(tallies, finals.length, ended, now),
    ),
    {
      sql: `UPDATE batches SET running = running - ended.calls,
              completed = batches.completed + ended.completed,
              failed = failed + ended.calls - ended.completed,
              prompt_tokens = batches.prompt_tokens + ended.prompt_tokens,
              completion_tokens = batches.completion_tokens + ended.completion_tokens,
              cached_tokens = batches.cached_tokens + ended.cached_tokens,
              reasoning_tokens = batches.reasoning_tokens + ended.reasoning_tokens,
              cost_usd = batches.cost_usd + ended.cost_usd,
              estimated_usd = batches.estimated_usd + ended.estimated_usd,
              unpriced = batches.unpriced + iif(batches.is_dry_run, ended.unpriced_in_all, ended.unpriced),
              dearest_usd = nullif(max(coalesce(batches.dearest_usd, 0), ended.dearest_usd), 0),
              updated_at = ? ${forEachMark(({ counter }) => `${counter} = batches.${counter} + ended.${counter}`)}
            FROM (SELECT t.batch, count(*) AS calls, sum(e.status = 'completed') AS completed,
                         total(${ofLastCall("prompt_tokens")}) AS prompt_tokens,
                         total(${ofLastCall("completion_tokens")}) AS completion_tokens,
                         total(e.cached_tokens) AS cached_tokens, total(e.reasoning_tokens) AS reasoning_tokens,
                         total(iif(e.is_dry_run, 0, ${ofLastCall("cost_usd")})) AS cost_usd,
                         total(iif(e.is_dry_run, ${ofLastCall("cost_usd")}, 0)) AS estimated_usd,
                         sum(e.prompt_tokens IS NOT NULL AND e.cost_usd IS NULL) AS unpriced_in_all,
                         sum(${LAST_IS_UNPRICED}) AS unpriced,
                         max(iif(e.is_dry_run, 0, coalesce(${ofLastCall("cost_usd")}, 0))) AS dearest_usd
                         ${forEachMark(({ counter, mark }) => `sum(e.status = 'completed' AND e.${mark}) AS ${counter}`)}
                  FROM ${ENDED} CROSS JOIN tasks t ON t.seq = e.task GROUP BY t.batch) ended
            WHERE batches.seq = ended.batch`,
      args: [now, ...ended],
    },
    {
      sql: `INSERT INTO api_key_usage (api_key, month, tasks, prompt_tokens, completion_tokens, cost_usd, unpriced)
            SELECT q.payer, ?, count(*), total(${ofLastCall("prompt_tokens")}), total(${ofLastCall("completion_tokens")}),
                   total(iif(e.is_dry_run, 0, ${ofLastCall("cost_usd")})), sum(${LAST_IS_UNPRICED})
            FROM ${ENDED} WHERE q.payer IS NOT NULL GROUP BY q.payer
            ON CONFLICT (api_key, month) DO UPDATE SET tasks = tasks + excluded.tasks,
              prompt_tokens = prompt_tokens + excluded.prompt_tokens,
              completion_tokens = completion_tokens + excluded.completion_tokens,
              cost_usd = cost_usd + excluded.cost_usd, unpriced = unpriced + excluded.unpriced`,
      args: [monthOf(now), ...ended],
    },
    ...afterSpending(what, now),
    ...keepAnswers(finals, owner),
    {
      sql: `DELETE FROM queue WHERE task IN (SELECT e.task FROM ${ENDED})`,
      args: ended,
    },
    ...finishBatches(byNumber(batches), now),
  ];
}

/** Records the cost of calls, and stops work that there is no more money for. */
function afterSpending(
  { batches, tallies, dearest, mayBeLimited }: Settling,
  now: number,
): Statement[] {
  const noted = dearest.length > 0 ? [noteDearest(dearest)] : [];
  if (!mayBeLimited) return noted;
  const keys = [...new Set(tallies.flatMap(({ apiKey }) => (apiKey > 0 ? apiKey : [])))];
  const { reported, paused } = pauseSpent(batches, keys, now);
  return [...noted, reported, paused, ...(keys.length > 0 ? holdSpent(keys, now) : [])];
}

function insertExecutions({ finals, isExclusive }: Settling, owner: number): Statement[] {
  return overValues(
    finals,
    (row) => [
      row.task,
      row.claim,
      row.status,
      row.at,
      row.provider,
      row.model,
      row.requestId,
      row.promptTokens,
      row.completionTokens,
      row.cachedTokens,
      row.reasoningTokens,
      row.costUsd,
      row.response,
      row.error,
      row.fallbackFrom,
      row.isCached,
      row.adjusted.length > 0 ? JSON.stringify(row.adjusted) : null,
      row.isTruncated,
      row.isEstimated,
      row.isRepaired,
      row.escalatedFrom,
    ],
    (values) => `
      INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
        completed_at, claim, attempts, log, provider, model, request_id, prompt_tokens, completion_tokens,
        cached_tokens, reasoning_tokens, cost_usd, known_usd, response, error, fallback_from, is_cached,
        adjusted, is_truncated, is_estimated, is_repaired, escalated_from)
      SELECT q.task, q.run, v.column3, q.is_dry_run, q.queued_at, q.started_at, q.claimed_at,
        v.column4, q.claim, q.attempt, q.log, v.column5, v.column6, v.column7,
        ${inAll("prompt_tokens", "v.column8")}, ${inAll("completion_tokens", "v.column9")},
        ${inAll("cached_tokens", "v.column10")}, ${inAll("reasoning_tokens", "v.column11")},
        ${costsInAll("v.column8", "v.column12")}, v.column13, v.column14, v.column15,
        v.column16, v.column17, v.column18, v.column19, v.column20, v.column21
      FROM ${values} v
      CROSS JOIN queue q ON q.task = v.column1 AND q.claim = v.column2 AND +q.owner = ?`,
    { after: [owner], isPreparedOnce: isExclusive },
  );
}

/**
 * Caches the answers of successful calls for the same requests. A stored answer was not usable here, so the new one
 * replaces it. Answers from a fallback model, and answers that were cut off, are not cached.
 */
function keepAnswers(finals: FinalRow[], owner: number): Statement[] {
  const reusable = finals.filter(
    ({ status, isCached, cacheKey }) => cacheKey !== null && !isCached && status === "completed",
  );
  if (reusable.length === 0) return [];
  return [
    {
      sql: `INSERT INTO cached_answers (key, task, run)
            SELECT i.cache_key, e.task, e.run FROM ${ENDED} CROSS JOIN task_inputs i ON i.task = e.task
            WHERE i.cache_key IS NOT NULL AND e.status = 'completed' AND NOT e.is_dry_run
              AND e.fallback_from IS NULL AND e.escalated_from IS NULL AND NOT e.is_truncated
            ON CONFLICT (key) DO UPDATE SET task = excluded.task, run = excluded.run`,
      args: [JSON.stringify(reusable.map(({ task }) => task)), owner],
    },
  ];
}

/** Appends a `batch.progress` event for each of these batches that still runs. */
export function reportProgress(batches: number[], now: number): Statement {
  return {
    sql: `INSERT INTO events (at, type, task, batch, data, trace)
          SELECT ?, 'batch.progress', NULL, id,
                 json_object('total', total, 'completed', completed, 'failed', failed,
                   'cancelled', cancelled, 'running', running, 'costUsd', ${COST}), trace
          FROM batches
          WHERE seq IN (SELECT value FROM json_each(?)) AND seq <> ${SINGLE_TASKS} AND status = 'running'`,
    args: [now, JSON.stringify(batches)],
  };
}

import type { Statement } from "../db/unit.ts";
import { isSingle, PAYERS, SINGLE_TASKS } from "../domain/batch.ts";
import type { LanePrice } from "../domain/prices.ts";
import type { Endpoint } from "../domain/request.ts";
import { storedAnswer } from "./base-answers.ts";
import type { PauseUnit } from "./budgets.ts";
import { modelAsked } from "./flex.ts";
import { nextReady, takeFrom, whereMoneyEnds } from "./take.ts";
import { fits, sizeOfText } from "./texts.ts";

/*
 * The hot path. Each statement serves a whole flush: it takes its rows from one JSON array, or from
 * the claim just made. CROSS JOIN fixes the order of the join, array first: left to itself SQLite
 * starts from an index of the queue and reads the array again for every row.
 */

/** `isLimited`: a cap or a budget may give it less than it wants. */
export type LaneClaim = {
  lane: number;
  model: string;
  limit: number;
  price: LanePrice;
  isLimited: boolean;
  /** It takes the oldest rows first, whatever their priority. */
  byAge: boolean;
};

export type Claimed = {
  task: number;
  batch: number;
  lane: number;
  /** The model to call: that of `escalateTo` if the run is escalated. */
  model: string;
  firstModel: string;
  /** How often an answer may be repaired, `null` if answers are not checked; and how often it was. */
  maxRepairs: number | null;
  repairs: number;
  escalateTo: string | null;
  isEscalated: number;
  /** The answer that is to be repaired (`domain/ask-for-json.ts`), JSON. */
  repair: string | null;
  earlierPromptTokens: number;
  earlierCompletionTokens: number;
  earlierCachedTokens: number;
  earlierReasoningTokens: number;
  earlierUsd: number;
  earlierUnpriced: number;
  /** The name of its lane: the model, or that and a mark. */
  laneName: string;
  /** It requests the flex tier; and until when it waits for that, or `null` if it takes the standard tier. */
  asksFlex: number;
  flexUntil: number | null;
  failures: number;
  /** Attempts on record, including those that the provider refused. */
  earlier: number;
  isDryRun: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  /** Row number of the key that pays. */
  payer: number;
  queuedAt: number;
  startedAt: number;
  attempt: number;
  run: number;
  claimedAt: number;
  trace: string | null;
  endpoint: Endpoint;
  body: string;
  /** Set if the answer may be reused. That of a dry run never is. */
  cacheKey: string | null;
  /** The stored answer to an identical request, if there is one, and where it came from. */
  answer: string | null;
  /** Its length. Without `answer`, it was deleted before it was read. */
  answerBytes: number | null;
  /** The execution that it is from. */
  answerTask: number | null;
  answerRun: number | null;
  answeredBy: string | null;
  answerModel: string | null;
  answerRequestId: string | null;
  /** The model that was called before the run was escalated to the one that answered. */
  answerEscalatedFrom: string | null;
};

/** A claimed run in the claim's answer, which leaves out texts that are too long. */
export type ClaimedRow = Omit<Claimed, "body"> & {
  body: string | null;
  bodyBytes: number;
  repairBytes: number | null;
};

export type ClaimUnit = {
  taken: Statement[];
  counted: Statement | undefined;
  spent: PauseUnit | undefined;
  unpriced: PauseUnit | undefined;
  held: Statement[];
  events: Statement;
  claimed: Statement<ClaimedRow>;
};

/**
 * Claims up to the wanted number of ready rows of each lane for `owner`. A lane whose batch is not running gives
 * none, and no lane gives more than its `maxConcurrency` and its budgets allow, whichever other nodes claim from it.
 * Texts of at most `textBytes` are included.
 */
export function claim(
  lanes: LaneClaim[],
  owner: number,
  claimNo: number,
  now: number,
  textBytes: number,
): ClaimUnit {
  const mine: [number, number] = [owner, claimNo];
  return {
    taken: lanes.flatMap((lane) => takeFrom(lane, owner, claimNo, now)),
    ...whereMoneyEnds(lanes, mine, now),
    counted: lanes.some(({ lane }) => isSingle(lane)) ? countSingles(mine) : undefined,
    events: {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.started', t.id, nullif(b.id, ''), q.task, q.run, q.trace
            FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN batches b ON b.seq = t.batch
            WHERE q.owner = ? AND q.claim = ? AND q.is_first`,
      args: [now, ...mine],
    },
    claimed: {
      sql: `SELECT q.task, t.batch, q.lane, ${modelAsked("t", "q.is_escalated")} AS model, q.model AS laneName,
                   t.model AS firstModel, t.max_repairs AS maxRepairs, q.repairs, t.escalate_to AS escalateTo,
                   q.is_escalated AS isEscalated, ${fits("q.repair")} AS repair, ${sizeOfText("q.repair")} AS repairBytes,
                   q.earlier_prompt_tokens AS earlierPromptTokens, q.earlier_completion_tokens AS earlierCompletionTokens,
                   q.earlier_cached_tokens AS earlierCachedTokens, q.earlier_reasoning_tokens AS earlierReasoningTokens,
                   q.earlier_usd AS earlierUsd, q.earlier_unpriced AS earlierUnpriced,
                   t.flex_minutes IS NOT NULL AS asksFlex, q.flex_until AS flexUntil, q.failures,
                   coalesce(json_array_length(q.log), 0) AS earlier, q.is_dry_run AS isDryRun, t.max_retries AS maxRetries, t.timeout_ms AS timeoutMs,
                   coalesce(q.payer, 0) AS payer, q.queued_at AS queuedAt, q.started_at AS startedAt, q.attempt,
                   q.run, q.claimed_at AS claimedAt, q.trace,
                   i.endpoint, ${fits("i.body")} AS body, ${sizeOfText("i.body")} AS bodyBytes,
                   iif(q.is_dry_run, NULL, i.cache_key) AS cacheKey, ${fits("e.response")} AS answer,
                   ${sizeOfText("e.response")} AS answerBytes, e.task AS answerTask, e.run AS answerRun,
                   e.provider AS answeredBy, e.model AS answerModel,
                   e.request_id AS answerRequestId, e.escalated_from AS answerEscalatedFrom
            FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN task_inputs i ON i.task = q.task
              ${storedAnswer("NOT q.is_dry_run")}
            WHERE q.owner = ? AND q.claim = ? ORDER BY q.priority, q.queued_at, q.task`,
      args: [textBytes, textBytes, textBytes, ...mine],
    },
  };
}

/** Counts the runs that a claim took from lanes without a cap, in the batches of their tasks. */
function countSingles(mine: [owner: number, claimNo: number]): Statement {
  return {
    sql: `UPDATE batches SET running = running + claimed.calls
          FROM (SELECT t.batch, count(*) AS calls
                FROM queue q CROSS JOIN tasks t ON t.seq = q.task
                WHERE q.owner = ? AND q.claim = ? AND q.lane <= ${SINGLE_TASKS} AND q.lane > -${PAYERS}
                GROUP BY t.batch) claimed
          WHERE batches.seq = claimed.batch`,
    args: mine,
  };
}

export type Upcoming = { task: number; body: string | null; bodyBytes: number };

/** The next runs that a claim of the lane would take, in that order; bodies of at most `textBytes`. */
export function upcoming(
  wanted: Pick<LaneClaim, "lane" | "model" | "limit" | "byAge">,
  textBytes: number,
): Statement<Upcoming> {
  const next = nextReady(wanted, { sql: "true", args: [] });
  return {
    sql: `SELECT q.task, ${fits("i.body")} AS body, ${sizeOfText("i.body")} AS bodyBytes
          FROM queue q CROSS JOIN task_inputs i ON i.task = q.task
          WHERE q.task IN (${next.sql} LIMIT ?)
          ORDER BY ${wanted.byAge ? "" : "q.priority, "}q.queued_at, q.task`,
    args: [textBytes, ...next.args, wanted.limit],
  };
}

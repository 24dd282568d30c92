import type { InValue } from "@libsql/client";

import type { Statement } from "../db/unit.ts";
import { BUCKET_BOUNDS_MS, BUCKETS, HOUR_MS, MINUTE_MS } from "../domain/latency.ts";
import type { FinalStatus } from "../domain/task.ts";
import { ENDED } from "./ended.ts";
import { KNOWN_COST } from "./spent.ts";
import type { Which } from "./which.ts";

/** The statuses of rollups. `created` counts new tasks, the others ended ones. */
export type RollupStatus = FinalStatus | "created";

const SUMS = [
  "tasks",
  "duration_ms",
  "wait_ms",
  "attempts",
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "reasoning_tokens",
  "cost_usd",
  "unpriced",
] as const;

/** The sums of runs that ended with the same status, model, provider and key. */
export type Tally = {
  status: RollupStatus;
  model: string;
  provider: string;
  /** Row number of the key that pays for them. */
  apiKey: number;
  /** The cost of the dearest of them. */
  dearestUsd: number;
  sums: Record<(typeof SUMS)[number], number>;
  /** Counts of durations by bucket (`domain/latency.ts`). */
  buckets: number[];
};

/*
 * Each creation and each end of a task is added, in the unit that makes it, to one row for its minute and one for its
 * hour, by status, model, provider and key. Queries about the last day read minutes, those about a month read hours:
 * as many rows for ten million tasks as for ten thousand.
 */

const bucketColumns = Array.from({ length: BUCKETS }, (_, i) => `b${i}`);
const keyColumns = ["span", "at", "status", "model", "provider", "api_key"];
const sumColumns = [...SUMS, ...bucketColumns];
const columns = [...keyColumns, ...sumColumns].join();
const ADD = `ON CONFLICT DO UPDATE SET ${sumColumns.map((name) => `${name} = ${name} + excluded.${name}`).join()}`;
const SPANS = `(SELECT ${MINUTE_MS} AS span UNION ALL SELECT ${HOUR_MS}) spans`;
const AT = "CAST(? AS INTEGER) / spans.span * spans.span";

/** A statement takes 32,766 values, and each tally has dozens. */
const MOST_TALLIES = 200;

/**
 * Adds up ended runs, linked to a statement that changes one row for each of them. If some reports came too late to
 * count, the database adds up the others; it adds up all of them if there are no tallies, or too many for one
 * statement.
 */
export function addEnded(
  tallies: Tally[],
  runs: number,
  ended: [json: string, owner: number],
  now: number,
): ((changed: string) => Statement)[] {
  const isLeftToDatabase = tallies.length === 0 || tallies.length > MOST_TALLIES;
  const placeholders = `(${Array.from({ length: 4 + sumColumns.length }, () => "?").join()})`;
  const names = Array.from({ length: 4 + sumColumns.length }, (_, i) => `column${i + 1}`);
  const addTallies = (changed: string): Statement => ({
    sql: `INSERT INTO rollups (${columns}) SELECT spans.span, ${AT}, ${names.join()}
          FROM (VALUES ${tallies.map(() => placeholders).join()}) CROSS JOIN ${SPANS}
          WHERE ${changed} = ? ${ADD}`,
    args: [now, ...tallies.flatMap(toValues), runs],
  });
  return [
    ...(isLeftToDatabase ? [] : [addTallies]),
    (changed) => ({
      sql: `INSERT INTO rollups (${columns}) SELECT spans.span, ${AT}, late.*
            FROM (SELECT status, model, provider, payer, count(*), ${SQL_SUMS}
                  FROM (SELECT e.status, t.model, coalesce(e.provider, '') AS provider, coalesce(q.payer, 0) AS payer,
                               e.completed_at - e.started_at AS d, e.started_at, e.queued_at, e.attempts,
                               e.prompt_tokens, e.completion_tokens, e.cached_tokens, e.reasoning_tokens,
                               e.is_dry_run, e.cost_usd, ${KNOWN_COST} AS known_usd
                        FROM ${ENDED} CROSS JOIN tasks t ON t.seq = e.task
                        WHERE ${isLeftToDatabase ? "TRUE" : `${changed} = 0`})
                  GROUP BY 1, 2, 3, 4) late
              CROSS JOIN ${SPANS}
            WHERE true ${ADD}`,
      args: [now, ...ended],
    }),
  ];
}

/** Adds tallies whose runs cannot be reported twice. */
export function addTallies(tallies: Tally[], now: number): Statement[] {
  const placeholders = `(${Array.from({ length: 4 + sumColumns.length }, () => "?").join()})`;
  const names = Array.from({ length: 4 + sumColumns.length }, (_, i) => `column${i + 1}`);
  return tallies.map((tally) => ({
    sql: `INSERT INTO rollups (${columns}) SELECT spans.span, ${AT}, ${names.join()}
          FROM (VALUES ${placeholders}) CROSS JOIN ${SPANS} WHERE true ${ADD}`,
    args: [now, ...toValues(tally)],
  }));
}

function toValues({ status, model, provider, apiKey, sums, buckets }: Tally): InValue[] {
  return [status, model, provider, apiKey, ...SUMS.map((name) => sums[name]), ...buckets];
}

const SQL_SUMS = [
  "sum(d)",
  "sum(started_at - queued_at)",
  "sum(attempts)",
  "sum(coalesce(prompt_tokens, 0))",
  "sum(coalesce(completion_tokens, 0))",
  "sum(coalesce(cached_tokens, 0))",
  "sum(coalesce(reasoning_tokens, 0))",
  "total(iif(is_dry_run, 0, known_usd))",
  "sum(prompt_tokens IS NOT NULL AND cost_usd IS NULL)",
  ...bucketColumns.map((_, i) => {
    const [above, below] = [BUCKET_BOUNDS_MS[i - 1], BUCKET_BOUNDS_MS[i]];
    if (above === undefined) return `sum(d <= ${below})`;
    return below === undefined ? `sum(d > ${above})` : `sum(d > ${above} AND d <= ${below})`;
  }),
].join();

/** Counts the tasks that a later statement of the unit cancels; it has the same condition. */
export function addCancelled(which: Which, now: number): Statement {
  return {
    sql: `INSERT INTO rollups (span, at, status, model, provider, api_key, tasks)
          SELECT spans.span, ${AT}, 'cancelled', c.model, '', c.api_key, c.tasks
          FROM (SELECT model, coalesce(api_key, 0) AS api_key, count(*) AS tasks FROM tasks
                WHERE ${which.where} GROUP BY model, api_key) c CROSS JOIN ${SPANS}
          WHERE true ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks`,
    args: [now, ...which.args],
  };
}

/** Counts created tasks by model, if a condition holds. */
export function addCreated(
  models: ReadonlyMap<string, number>,
  apiKey: number,
  now: number,
  when: Which,
): Statement {
  return {
    sql: `INSERT INTO rollups (span, at, status, model, provider, api_key, tasks)
          SELECT spans.span, ${AT}, 'created', m.value ->> 0, '', ?, m.value ->> 1
          FROM json_each(?) m CROSS JOIN ${SPANS}
          WHERE ${when.where} ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks`,
    args: [now, apiKey, JSON.stringify([...models]), ...when.args],
  };
}

/** What rows are grouped by, besides their status. */
export type RollupKey = "at" | "model" | "provider" | "api_key";

export type RollupFilter = {
  by: RollupKey;
  span: number;
  /** The length in ms of a group, when grouped by time. */
  step: number;
  from: number;
  status?: RollupStatus | undefined;
  model?: string | undefined;
};

/** The sums of one status under one value of a `RollupKey`. */
export type Rollup = Pick<Tally, "status" | "sums" | "buckets"> & { key: string };

/**
 * The rows since a moment, grouped by one key, so the answer has one row per step, model or API key, and not one per
 * combination of them.
 */
export function rollupsSince({ by, span, step, from, status, model }: RollupFilter): Statement {
  const which = [
    "span = ? AND at >= ?",
    ...(status === undefined ? [] : ["status = ?"]),
    ...(model === undefined ? [] : ["model = ?"]),
  ];
  const key = by === "at" ? "at / CAST(? AS INTEGER) * CAST(? AS INTEGER)" : by;
  return {
    sql: `SELECT ${key} AS key, status, ${sumColumns.map((name) => `sum(${name})`).join()}
          FROM rollups WHERE ${which.join(" AND ")} GROUP BY 1, 2 ORDER BY 1`,
    args: [
      ...(by === "at" ? [step, step] : []),
      span,
      from,
      ...(status === undefined ? [] : [status]),
      ...(model === undefined ? [] : [model]),
    ],
  };
}

export function readRollups(rows: readonly ArrayLike<unknown>[]): Rollup[] {
  return rows.map((row) => {
    const [key, status, ...numbers] = Array.from(row) as [
      string | number,
      RollupStatus,
      ...number[],
    ];
    const sums = noSums();
    for (const [i, name] of SUMS.entries()) sums[name] = numbers[i] ?? 0;
    return { key: String(key), status, sums, buckets: numbers.slice(SUMS.length) };
  });
}

/** Removes minutes and hours that ended before these moments. */
export function pruneRollups(minutesBefore: number, hoursBefore: number): Statement[] {
  const remove = (span: number, before: number) => ({
    sql: "DELETE FROM rollups WHERE span = ? AND at < ?",
    args: [span, before],
  });
  return [remove(MINUTE_MS, minutesBefore), remove(HOUR_MS, hoursBefore)];
}

export function noSums(): Tally["sums"] {
  return {
    tasks: 0,
    duration_ms: 0,
    wait_ms: 0,
    attempts: 0,
    prompt_tokens: 0,
    completion_tokens: 0,
    cached_tokens: 0,
    reasoning_tokens: 0,
    cost_usd: 0,
    unpriced: 0,
  };
}

import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { holdSpent, monthOf, noteDearest, pauseSpent } from "./budgets.ts";
import { addTallies, type Tally } from "./rollups.ts";
import { reservation, withinBudget } from "./room.ts";

/** A process that stands still for longer than this, such as on a sleeping computer, may count a settlement twice. */
const KEEP_SETTLEMENTS_MS = 30 * 24 * 3600_000;

/** A live call, and what it may cost at least. */
export type LiveReservation = { payer: number; node: number; usd: number };

/** As long as no call of the key has cost anything, this is `NULL`, so that the whole budget is reserved. */
const DEAREST_OR_THIS = "max(k.dearest_usd, ?)";

/**
 * Reserves what a live call may cost, by the rule of `room.ts`. Has a row if the budget of the payer has room for it.
 */
export function reserveLive(
  { payer, node, usd }: LiveReservation,
  now: number,
): Statement<{ seq: number }> {
  return {
    sql: `INSERT INTO live_calls (node, payer, usd)
          SELECT ?, ?, ${reservation("?", DEAREST_OR_THIS)}
          WHERE ${withinBudget("?", DEAREST_OR_THIS)} >= 1 RETURNING seq`,
    args: [node, payer, usd, payer, usd, monthOf(now), payer],
  };
}

/** Which settlement of a node it is: the first has number 1. */
type Settlement = { node: number; number: number };

/**
 * Records the sums of live calls, and ends their reservations; `budgeted` are the payers with a budget. If the node has
 * stored this settlement already, or a later one, all of it fails with an error that `isSettled` recognises.
 */
export function settleLive(
  tallies: Tally[],
  { reservations, budgeted }: { reservations: number[]; budgeted: number[] },
  { node, number }: Settlement,
  now: number,
) {
  const dearest = new Map<number, number>();
  for (const { apiKey, dearestUsd } of tallies)
    if (dearestUsd > 0) dearest.set(apiKey, Math.max(dearest.get(apiKey) ?? 0, dearestUsd));
  return {
    once: {
      sql: `INSERT INTO live_settlements (node, number, at) VALUES (?, ?, ${DATABASE_NOW})
            ON CONFLICT (node) DO UPDATE SET number = iif(number < excluded.number, excluded.number, NULL),
              at = excluded.at`,
      args: [node, number],
    },
    added: addTallies(tallies, now),
    used: addUsage(tallies, now),
    dearest: dearest.size > 0 ? noteDearest([...dearest]) : undefined,
    freed: reservations.length > 0 ? endReservations(reservations) : undefined,
    spent: budgeted.length > 0 ? pauseSpent([], budgeted, now) : undefined,
    held: budgeted.length > 0 ? holdSpent(budgeted, now) : [],
  };
}

/** Whether a settlement failed because it is stored already: its commit took effect although its answer was lost. */
export function isSettled(error: unknown): boolean {
  return error instanceof Error && error.message.includes("live_settlements.number");
}

/**
 * Forgets which settlements were the last ones: that of `node`, a process that has just started, and those of dead nodes
 * that have stored none for so long that they will not come back. That of a process that has just stopped is kept,
 * because a settlement whose answer was given up may still reach the database.
 */
export function forgetSettlements(node: number): Statement {
  return {
    sql: `DELETE FROM live_settlements
          WHERE node = ? OR (at < ${DATABASE_NOW} - ? AND node NOT IN (SELECT seq FROM nodes))`,
    args: [node, KEEP_SETTLEMENTS_MS],
  };
}

/** The sums of a tally that count for its key, in the order of `addUsage`. */
const CHARGED = ["tasks", "prompt_tokens", "completion_tokens", "cost_usd", "unpriced"] as const;

function addUsage(tallies: Tally[], now: number): Statement {
  const used = [...Map.groupBy(tallies, ({ apiKey }) => apiKey)].map(([apiKey, own]) => {
    const sum = (name: (typeof CHARGED)[number]) =>
      own.reduce((all, { sums }) => all + sums[name], 0);
    return [apiKey].concat(CHARGED.map(sum));
  });
  return {
    sql: `INSERT INTO api_key_usage (api_key, month, tasks, prompt_tokens, completion_tokens, cost_usd, unpriced)
          SELECT value ->> 0, ?, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
          FROM json_each(?) WHERE true
          ON CONFLICT (api_key, month) DO UPDATE SET tasks = tasks + excluded.tasks,
            prompt_tokens = prompt_tokens + excluded.prompt_tokens,
            completion_tokens = completion_tokens + excluded.completion_tokens,
            cost_usd = cost_usd + excluded.cost_usd, unpriced = unpriced + excluded.unpriced`,
    args: [monthOf(now), JSON.stringify(used)],
  };
}

/** The reservations of a node. */
export function listReservations(node: number): Statement<{ seq: number }> {
  return { sql: "SELECT seq FROM live_calls WHERE node = ?", args: [node] };
}

export function endReservations(seqs: number[]): Statement {
  return {
    sql: "DELETE FROM live_calls WHERE seq IN (SELECT value FROM json_each(?))",
    args: [JSON.stringify(seqs)],
  };
}

/** Ends the reservations of dead processes, and of `node`, a process that has just started. */
export function endForsaken(node: number | null = null): Statement {
  return {
    sql: "DELETE FROM live_calls WHERE node = ? OR node NOT IN (SELECT seq FROM nodes)",
    args: [node],
  };
}

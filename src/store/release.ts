import type { Statement } from "../db/unit.ts";
import { both, not, type Which } from "./which.ts";

/*
 * Claims whose calls no process will report are released: their runs are ready again. `which` is always a
 * condition on rows `q` of the queue. What happens to the attempt depends on the case:
 *
 *   interrupted   the call may have been made, and its process has ended or fallen silent. The attempt
 *                 is on record and counts; a run of which `most` are cut off is not made ready, but
 *                 failed (`findHopeless`): it may be what ends its process, and each of its calls
 *                 may have been paid.
 *   handed back   the call was made, and its process shuts down, or a client wants it to end now.
 *                 On record, and does not count.
 *   never sent    the claim was made, and its process does not know of it: it took effect late, or its
 *                 answer was lost. As if it had not been claimed.
 */

export type ReleaseUnit = { counted: Statement; released: Statement };

/** True of a row `q` of the queue whose next interruption is its last. */
const isHopeless = (most: number): Which => ({ where: "q.interruptions + 1 >= ?", args: [most] });

const RECORDED = `log = json_insert(coalesce(log, '[]'), '$[#]', json_object(
  'attempt', attempt, 'startedAt', claimed_at, 'endedAt', ?, 'outcome', 'interrupted'))`;

export function releaseInterrupted(which: Which, most: number, now: number): ReleaseUnit {
  return release(
    both(which, not(isHopeless(most))),
    `${RECORDED}, interruptions = interruptions + 1`,
    [now],
  );
}

export function handBack(which: Which, now: number): ReleaseUnit {
  return release(which, RECORDED, [now]);
}

/** Hands back the calls of a paused batch, except those of tasks that were executed by themselves. */
export function handBackPaused(
  batch: number,
  now: number,
): { counted: Statement; released: Statement<{ task: number }> } {
  const { counted, released } = handBack(
    {
      where: "q.lane = ? AND (SELECT status FROM batches WHERE seq = ?) = 'paused'",
      args: [batch, batch],
    },
    now,
  );
  return { counted, released: { sql: `${released.sql} RETURNING task`, args: released.args } };
}

/**
 * Releases the claims of a node below a claim number, except those that it knows, given as pairs of task and claim. A
 * node knows a claim once it has read the answer to it, so `below` must be no higher than the first claim whose
 * answer was not read.
 */
export function releaseUnknown(
  owner: number,
  below: number,
  known: readonly (readonly [task: number, claim: number])[],
): ReleaseUnit {
  const which = {
    where: `q.owner = ? AND q.claim < ? AND (q.task, q.claim) NOT IN (
              SELECT value ->> 0, value ->> 1 FROM json_each(?))`,
    args: [owner, below, JSON.stringify(known)],
  };
  return release(which, "attempt = attempt - 1", []);
}

/** The claims among these pairs of task and claim that the node no longer holds. */
export function findLost(
  owner: number,
  known: readonly (readonly [task: number, claim: number])[],
): Statement<{ task: number; claim: number }> {
  return {
    sql: `SELECT k.value ->> 0 AS task, k.value ->> 1 AS claim FROM json_each(?) k
          WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.task = k.value ->> 0 AND q.owner = ?
                              AND q.claim = k.value ->> 1)`,
    args: [JSON.stringify(known), owner],
  };
}

function release(which: Which, change: string, args: number[]): ReleaseUnit {
  return {
    counted: {
      sql: `UPDATE batches SET running = running - held.calls
            FROM (SELECT t.batch, count(*) AS calls FROM queue q CROSS JOIN tasks t ON t.seq = q.task
                  WHERE q.owner IS NOT NULL AND ${which.where} GROUP BY t.batch) held
            WHERE batches.seq = held.batch`,
      args: which.args,
    },
    released: {
      sql: `UPDATE queue AS q SET owner = NULL, claim = NULL, ${change}
            WHERE q.owner IS NOT NULL AND ${which.where}`,
      args: [...args, ...which.args],
    },
  };
}

export type Hopeless = {
  task: number;
  owner: number;
  claim: number;
  batch: number;
  model: string;
};

/** The claims that `releaseInterrupted` does not release, because they were interrupted too often. */
export function findHopeless(which: Which, most: number): Statement<Hopeless> {
  const { where, args } = both(which, isHopeless(most));
  return {
    sql: `SELECT q.task, q.owner, q.claim, t.batch, t.model
          FROM queue q CROSS JOIN tasks t ON t.seq = q.task
          WHERE q.owner IS NOT NULL AND ${where} LIMIT 500`,
    args,
  };
}

/** Puts the attempt that is ending on record, before the run is ended. */
export function recordInterruption(claims: readonly Hopeless[], now: number): Statement {
  return {
    sql: `UPDATE queue AS q SET ${RECORDED}, interruptions = interruptions + 1
          FROM json_each(?) h WHERE q.task = h.value ->> 'task' AND q.owner = h.value ->> 'owner'
            AND q.claim = h.value ->> 'claim'`,
    args: [now, JSON.stringify(claims)],
  };
}

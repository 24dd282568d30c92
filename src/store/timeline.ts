import type { Statement } from "../db/unit.ts";

/** The row that there is. */
const ONLY = 1;

/** How often a restore of the database was detected, and between which events the last time. */
export type Timeline = {
  epoch: number;
  /** The highest number that an event was given. */
  last: number;
  lastTask: number;
  lastBatch: number;
  /** The log was put back to the event `brokenAfter` and goes on above `continuedAfter`; 0 where it never was. */
  brokenAfter: number;
  continuedAfter: number;
};

const given = (table: string) =>
  `coalesce((SELECT seq FROM sqlite_sequence WHERE name = '${table}'), 0)`;
const kept = (column: string) => `coalesce((SELECT ${column} FROM timeline WHERE id = ${ONLY}), 0)`;

/** Runs that a task or batch has before the database is restored once more; ids have room for 999 times. */
const RUNS_PER_EPOCH = 1_000_000;

/**
 * SQL for the number of the next run, where `run` is the last. Each epoch has numbers of its own: a run
 * of the part that was lost and one that follows it have different ids, though both come after the same.
 */
export function nextRun(run: string): string {
  return `max(${run} + 1, ${kept("epoch")} * ${RUNS_PER_EPOCH} + 1)`;
}

export const TIMELINE: Statement<Timeline> = {
  sql: `SELECT ${kept("epoch")} AS epoch, ${given("events")} AS last, ${given("tasks")} AS lastTask,
               ${given("batches")} AS lastBatch, ${kept("broken_after")} AS brokenAfter,
               ${kept("continued_after")} AS continuedAfter`,
  args: [],
};

/**
 * Begins an epoch: numbers go on above `next`, so that none is given twice. Only one of several
 * processes that see the same does it: `of` is the epoch that they saw.
 */
export function beginEpoch(
  { of, epoch, brokenAfter }: { of: number; epoch: number; brokenAfter: number },
  next: { events: number; tasks: number; batches: number },
): Statement[] {
  const isFirst = `${kept("epoch")} = ?`;
  return [
    ...Object.entries(next).flatMap(([table, seq]): Statement[] => [
      {
        sql: `INSERT INTO sqlite_sequence (name, seq) SELECT ?, 0
              WHERE ${isFirst} AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)`,
        args: [table, of, table],
      },
      {
        sql: `UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ? AND ${isFirst}`,
        args: [seq, table, of],
      },
    ]),
    {
      sql: `INSERT INTO timeline (id, epoch, broken_after, continued_after) SELECT ${ONLY}, ?, ?, ?
            WHERE ${isFirst}
            ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, broken_after = excluded.broken_after,
              continued_after = excluded.continued_after`,
      args: [epoch, brokenAfter, next.events, of],
    },
  ];
}

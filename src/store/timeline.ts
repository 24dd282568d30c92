import type { Statement } from "../db/unit.ts";

/** The id of the only row. */
const ONLY = 1;

/** How often a restore of the database was detected, and between which events the last time. */
export type Timeline = {
  epoch: number;
  /** The highest number that an event was given. */
  last: number;
  lastTask: number;
  lastBatch: number;
  /** The log was restored to the event `brokenAfter` and continues above `continuedAfter`; 0 if it never was. */
  brokenAfter: number;
  continuedAfter: number;
};

const given = (table: string) =>
  `coalesce((SELECT seq FROM sqlite_sequence WHERE name = '${table}'), 0)`;
const kept = (column: string) => `coalesce((SELECT ${column} FROM timeline WHERE id = ${ONLY}), 0)`;

/** The most runs of a task or batch between two restores of the database. Ids have room for 999 restores. */
const RUNS_PER_EPOCH = 1_000_000;

/**
 * SQL for the number of the next run after `run`. Each epoch has numbers of its own, so a run that a restore has lost
 * and a later one have different ids, although both follow the same run.
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
 * Begins an epoch: numbers continue above `next`, so that none is given twice. Of several processes that detect the
 * same restore, only one does it: `of` is the epoch that they read.
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

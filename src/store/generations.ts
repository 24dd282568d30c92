/**
 * A batch that is started again begins a new generation, a number in its row. A task that ends notes the
 * generation in which it did. Which tasks are to run again is decided by these numbers and not by
 * times, which the clocks of nodes do not agree about.
 */

/** SQL for the generation of the batch of a row of `tasks`. */
export const GENERATION_OF_BATCH = "(SELECT b.generation FROM batches b WHERE b.seq = tasks.batch)";

/**
 * SQL that is true of a row `t` of tasks that a batch `b` has still to revive, if its status is among those to be. A skipped one stays
 * so. An answer is made anew where it came from a dry run, and never where it was paid for, as in a pilot before the dry run.
 */
export const IS_TO_REVIVE = `t.generation < b.generation AND NOT t.is_skipped
  AND (t.status <> 'completed' OR EXISTS (
    SELECT 1 FROM executions e WHERE e.task = t.seq AND e.run = t.run AND e.is_dry_run))`;

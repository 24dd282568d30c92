/**
 * A batch that is restarted begins a new generation, a number in its row. A task records the generation in which it
 * ended. Which tasks run again is decided by these numbers and not by times, because the clocks of nodes differ.
 */

/** SQL for the generation of the batch of a row of `tasks`. */
export const GENERATION_OF_BATCH = "(SELECT b.generation FROM batches b WHERE b.seq = tasks.batch)";

/**
 * SQL that is true of a row `t` of tasks that a batch `b` has still to make pending again, provided that its status
 * is to run again. A skipped task stays skipped. An answer of a dry run is replaced; one that was paid for, as in a
 * pilot before the dry run, never is.
 */
export const IS_TO_REVIVE = `t.generation < b.generation AND NOT t.is_skipped
  AND (t.status <> 'completed' OR EXISTS (
    SELECT 1 FROM executions e WHERE e.task = t.seq AND e.run = t.run AND e.is_dry_run))`;

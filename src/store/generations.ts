/**
 * A batch that is started again begins a new generation, a number in its row. A task that ends notes the
 * generation in which it did. Which tasks are to run again is decided by these numbers and not by
 * times, which the clocks of nodes do not agree about.
 */

/** SQL for the generation of the batch of a row of `tasks`. */
export const GENERATION_OF_BATCH = "(SELECT b.generation FROM batches b WHERE b.seq = tasks.batch)";

/** SQL that is true of a row `t` of tasks that a batch `b` has still to revive, apart from its status. A skipped one stays so. */
export const IS_TO_REVIVE = "t.generation < b.generation AND NOT t.is_skipped";

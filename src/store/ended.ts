/**
 * The runs, of those in a JSON array of task row numbers, that their owner still holds and that have
 * an execution by now. Arguments: the array, the owner.
 */
export const ENDED = `json_each(?) r CROSS JOIN queue q ON q.task = r.value AND +q.owner = ?
  CROSS JOIN executions e ON e.task = q.task AND e.run = q.run`;

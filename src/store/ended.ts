/**
 * The runs, of those in a JSON array of task row numbers, that their owner still holds under the claim
 * that has ended them. The array must not name a task twice. Arguments: the array, the owner.
 */
export const ENDED = `json_each(?) r CROSS JOIN queue q ON q.task = r.value AND +q.owner = ?
  CROSS JOIN executions e ON e.task = q.task AND e.run = q.run AND e.claim = q.claim`;

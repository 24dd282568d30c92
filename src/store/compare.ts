import type { Statement } from "../db/unit.ts";

/** Two different rows at the same position of two inputs. */
export type Difference = { position: number; left: string | null; right: string | null };

/** The identity of an input row: its stored cells, or the last message of an inline task. */
const INPUT = (alias: string) =>
  `coalesce(${alias}.cells, ${alias}.prompt, ${["messages[#-1].content", "input", "prompt"].map((path) => `json_extract(${alias}.body, '$.${path}')`).join()})`;

/** The first position after `after` and up to `upTo` at which two batches have different input. */
export function firstDifference(
  batches: { left: number; right: number },
  after: number,
  upTo: number,
): Statement<Difference> {
  return {
    sql: `SELECT l.position, ${INPUT("li")} AS left, ${INPUT("ri")} AS right
          FROM tasks l CROSS JOIN tasks r ON r.batch = ? AND r.position = l.position
            CROSS JOIN task_inputs li ON li.task = l.seq
            CROSS JOIN task_inputs ri ON ri.task = r.seq
          WHERE l.batch = ? AND l.position > ? AND l.position <= ? AND ${INPUT("li")} IS NOT ${INPUT("ri")}
          ORDER BY l.position LIMIT 1`,
    args: [batches.right, batches.left, after, upTo],
  };
}

/** The last position of a batch; `null` if it has no rows. */
export function lastPosition(batch: number): Statement<{ last: number | null }> {
  return { sql: "SELECT max(position) AS last FROM tasks WHERE batch = ?", args: [batch] };
}

/** The positions of a batch's rows with the ids that its input gave them, `limit` after a position. */
export function rowIds(
  batch: number,
  idPaths: readonly string[],
  { after, limit }: { after: number; limit: number },
): Statement<{ position: number; id: string | number | null }> {
  // Each path is extracted alone: with several at once, `json_extract` gives an array of all.
  const paths = idPaths.map(() => "json_extract(i.cells, ?)");
  return {
    sql: `SELECT t.position, coalesce(${[...paths, "NULL", "NULL"].join()}) AS id
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
          WHERE t.batch = ? AND t.position > ? ORDER BY t.position LIMIT ?`,
    args: [...idPaths, batch, after, limit],
  };
}

import type { Context } from "../context.ts";
import { type Upcoming, upcoming } from "../store/claim.ts";
import { readRows } from "../store/rows.ts";
import type { Lane } from "./lane-book.ts";

export type NextRuns = ReturnType<typeof createNextRuns>;

/** Reads which runs a claim would take. */
export function createNextRuns({ client, writer }: Pick<Context, "client" | "writer">) {
  return {
    /**
     * The next runs of a lane, in the order of the claim, with bodies of at most `textBytes`. Rows that were announced
     * may not be committed yet, so they are read after the pending writes.
     */
    async read(lane: Lane, limit: number, textBytes: number): Promise<Upcoming[]> {
      const query = upcoming({ ...lane, limit }, textBytes);
      const rows = await readRows(client, query);
      if (rows.length === limit) return rows;
      const said = lane.ready;
      const all = (await writer.write({ query })).query.rows;
      if (all.length < limit) lane.ready -= Math.max(0, said - all.length);
      return all;
    },
  };
}

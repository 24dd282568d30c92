import { BoundedMap } from "../lib/bounded-map.ts";
import type { Lane } from "./lane-book.ts";
import type { NextRuns } from "./next-runs.ts";
import type { Outcome } from "./outcome.ts";

/** A request that is longer than the longest paid one by more than this factor may cost much more than all before. */
const LONGER = 1.5;
/** How many lanes are remembered. In a lane that is forgotten, the next call goes alone again. */
const MOST_LANES = 10_000;

/**
 * Under a cap or a budget, a call is assumed to cost as much as the most expensive one so far (`store/room.ts`). That
 * says nothing of a model that has cost nothing yet, and little of a request that is much longer than all before. Such
 * a call is unproven: it goes alone in its lane, so that at most this one costs more than was assumed.
 */
export function createUnproven(next: NextRuns) {
  /** The bytes of the longest request of each lane that has cost something. */
  const longest = new BoundedMap<string, number>(MOST_LANES);
  /** Lanes whose next request is too long to start beside those in flight. */
  const waiting = new Set<string>();

  const isConcerned = ({ isLimited, price }: Lane) => isLimited && price === "known";
  const isUnproven = ({ key }: Lane) => !longest.has(key) || waiting.has(key);

  return {
    /** Adds a gate to lanes whose next call goes alone, so that others get the slots meanwhile. */
    open(lanes: readonly Lane[]): void {
      for (const lane of lanes)
        if (isConcerned(lane) && isUnproven(lane))
          lane.gates = [{ room: lane.inFlight === 0 ? 1 : 0 }, ...(lane.gates ?? [])];
    },

    /** How many of the next `limit` runs of a lane may start together, beside those in flight. */
    async fit(lane: Lane, limit: number): Promise<number> {
      if (!isConcerned(lane)) return limit;
      waiting.delete(lane.key);
      if (lane.inFlight === 0 && limit === 1) return 1;
      const most = (longest.get(lane.key) ?? 0) * LONGER;
      const rows = await next.read(lane, limit, 0);
      const first = rows.findIndex(({ bodyBytes }) => bodyBytes > most);
      if (first < 0) return limit;
      if (first > 0) return first;
      if (lane.inFlight === 0) return 1;
      waiting.add(lane.key);
      return 0;
    },

    /** Learns from committed outcomes. Returns whether more calls may start together. */
    learn(outcomes: readonly Outcome[]): boolean {
      let isNews = false;
      for (const outcome of outcomes) {
        const { lane, row } = outcome.run;
        if (outcome.kind !== "called" || !lane.isLimited || !outcome.final.costUsd) continue;
        const bytes = Buffer.byteLength(row.body);
        if (bytes <= (longest.get(lane.key) ?? 0)) continue;
        longest.set(lane.key, bytes);
        isNews = true;
      }
      return isNews;
    },
  };
}

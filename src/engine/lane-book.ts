import { isSingle, SINGLE_TASKS } from "../domain/batch.ts";
import type { Gate, LaneLoad } from "../domain/lanes.ts";
import type { KnownPrice } from "../domain/prices.ts";
import type { RunningBatch } from "../store/batches.ts";
import type { LaneClaim, LaneReady } from "../store/queue.ts";
import type { Upstream } from "./upstreams.ts";

export type Lane = LaneLoad & {
  lane: number;
  model: string;
  isDryRun: boolean;
  /** A claim may give fewer than there are, because of a cap or a budget. */
  isLimited: boolean;
  /** Of a limited lane: lets so many start as there was money for of late, and some more, so that others get its slots. */
  purse: Gate;
  /** What is known of what its calls cost where they go. */
  price: KnownPrice;
  /** Where its calls go, as chosen for this turn; `null` where they go nowhere before `shutUntil`. */
  upstream: Upstream | null;
  shutUntil: number | null;
  isTrial: boolean;
};

/**
 * What the dispatcher knows of the lanes. How much is ready is a hint that claims correct; how much
 * is in flight is exact for this process.
 */
export type LaneBook = ReturnType<typeof createLaneBook>;

export function createLaneBook(capacity: number) {
  const lanes = new Map<string, Lane>();
  const limits = new Map<number, number>();
  const dryRuns = new Set<number>();
  const limited = new Set<number>();

  function laneOf(batch: number, model: string): Lane {
    const key = `${batch}/${model}`;
    let lane = lanes.get(key);
    if (!lane) {
      lane = {
        key,
        lane: batch,
        batch,
        model,
        inFlight: 0,
        ready: 0,
        batchLimit: 0,
        lastServed: 0,
        isDryRun: false,
        isLimited: false,
        purse: { room: Infinity },
        price: "unknown",
        upstream: null,
        shutUntil: null,
        isTrial: false,
      };
      lanes.set(key, lane);
    }
    return lane;
  }

  return {
    laneOf,
    get: (key: string) => lanes.get(key),
    all: () => lanes.values(),
    /** One more row may be ready. */
    add(batch: number, model: string): void {
      laneOf(batch, model).ready++;
    },
    /** What is ready now in the lanes listed; in `of`'s lanes that are not listed, nothing. */
    learn(ready: LaneReady[], of: (batch: number) => boolean): void {
      for (const lane of lanes.values()) if (of(lane.batch)) lane.ready = 0;
      for (const row of ready) laneOf(row.lane, row.model).ready = row.ready;
    },
    /** The batches that run, with their `maxConcurrency`; lanes of others are closed. */
    setLimits(
      running: Pick<RunningBatch, "seq" | "maxConcurrency" | "isDryRun" | "isLimited">[],
    ): void {
      limits.clear();
      dryRuns.clear();
      limited.clear();
      for (const { seq, maxConcurrency, isDryRun, isLimited } of running) {
        if (isLimited === 1) limited.add(seq);
        limits.set(seq, maxConcurrency ?? capacity);
        if (isDryRun === 1) dryRuns.add(seq);
      }
    },
    /** A claim gave a lane so many of those that it wanted. Returns whether it may get more at once. */
    served({ lane: batch, model, limit }: LaneClaim, got: number, turn: number): boolean {
      const lane = laneOf(batch, model);
      const isShort = got < limit;
      lane.lastServed = turn;
      lane.ready = isShort && !lane.isLimited ? 0 : Math.max(0, lane.ready - got);
      const wasHeldBack = limit >= lane.purse.room;
      if (lane.isLimited && (isShort || wasHeldBack)) lane.purse.room = Math.max(1, 2 * got);
      return !isShort && wasHeldBack && lane.ready > 0;
    },
    readyIn(batch: number): number {
      let ready = 0;
      for (const lane of lanes.values()) if (lane.batch === batch) ready += lane.ready;
      return ready;
    },
    /** Lanes that could start a call, and all others that take up slots. */
    loads(): Lane[] {
      for (const [key, lane] of lanes) {
        lane.batchLimit = isSingle(lane.batch) ? capacity : (limits.get(lane.batch) ?? 0);
        lane.isDryRun = dryRuns.has(lane.batch);
        lane.isLimited = limited.has(lane.batch) || lane.batch < SINGLE_TASKS;
        if (!lane.isLimited) lane.purse.room = Infinity;
        if (lane.inFlight === 0 && lane.ready === 0) lanes.delete(key);
      }
      return [...lanes.values()];
    },
    inFlight(): number {
      let calls = 0;
      for (const lane of lanes.values()) calls += lane.inFlight;
      return calls;
    },
  };
}

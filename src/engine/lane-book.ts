import { isSingle, SINGLE_TASKS } from "../domain/batch.ts";
import { type Gate, type LaneLoad, laneWeight } from "../domain/lanes.ts";
import type { LanePrice } from "../domain/prices.ts";
import type { RunningBatch } from "../store/batches.ts";
import type { LaneClaim, LaneReady } from "../store/queue.ts";
import type { Upstream } from "./upstreams.ts";

export type Lane = LaneLoad & {
  lane: number;
  model: string;
  isDryRun: boolean;
  /** Its claims so far; one in every few takes the oldest tasks, so that none of low priority waits for ever. */
  claims: number;
  byAge: boolean;
  /** A claim may give fewer than there are, because of a cap or a budget. */
  isLimited: boolean;
  /** Only of a limited lane: lets as many start as there was money for recently, and some more, so that other lanes get its slots. */
  purse: Gate;
  /** What is known of what its calls cost where they go. */
  price: LanePrice;
  /** Where its calls go, as chosen for this turn; `null` where they go nowhere before `shutUntil`. */
  upstream: Upstream | null;
  shutUntil: number | null;
  isTrial: boolean;
};

/**
 * One in every few claims of single tasks takes those that have waited longest. Those of a batch
 * were queued together, and come to an end.
 */
const CLAIMS_UNTIL_AGED = 8;

/**
 * What the dispatcher knows of the lanes. How much is ready is a hint that claims correct; how much
 * is in flight is exact for this process.
 */
export type LaneBook = ReturnType<typeof createLaneBook>;

export function createLaneBook(capacity: number) {
  const lanes = new Set<Lane>();
  const byBatch = new Map<number, Map<string, Lane>>();
  const limits = new Map<number, number>();
  const dryRuns = new Set<number>();
  const limited = new Set<number>();

  function laneOf(batch: number, model: string): Lane {
    let models = byBatch.get(batch);
    if (!models) byBatch.set(batch, (models = new Map()));
    let lane = models.get(model);
    if (!lane) {
      limit((lane = createLane(batch, model)));
      models.set(model, lane);
      lanes.add(lane);
    }
    return lane;
  }

  function limit(lane: Lane): void {
    lane.batchLimit = isSingle(lane.batch) ? capacity : (limits.get(lane.batch) ?? 0);
    lane.isDryRun = dryRuns.has(lane.batch);
    lane.isLimited = limited.has(lane.batch) || lane.batch < SINGLE_TASKS;
    if (!lane.isLimited) lane.purse.room = Infinity;
  }

  function of(batch: number): Iterable<Lane> {
    return byBatch.get(batch)?.values() ?? [];
  }

  function drop(lane: Lane): void {
    lanes.delete(lane);
    const models = byBatch.get(lane.batch);
    models?.delete(lane.model);
    if (models?.size === 0) byBatch.delete(lane.batch);
  }

  return {
    laneOf,
    all: () => lanes.values(),
    of,
    /** One more row may be ready. */
    add(batch: number, model: string): void {
      laneOf(batch, model).ready++;
    },
    /** What is ready now in the lanes listed; in others, or in others of one batch, nothing. */
    learn(ready: LaneReady[], batch?: number): void {
      for (const lane of batch === undefined ? lanes : of(batch)) lane.ready = 0;
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
      for (const lane of lanes) limit(lane);
    },
    /** A claim gave a lane `got` of those that it wanted. Returns whether it may get more at once. */
    served({ lane: batch, model, limit }: LaneClaim, got: number, turn: number): boolean {
      const lane = laneOf(batch, model);
      const isShort = got < limit;
      lane.lastServed = turn;
      lane.byAge = isSingle(batch) && ++lane.claims % CLAIMS_UNTIL_AGED === 0;
      lane.ready = isShort && !lane.isLimited ? 0 : Math.max(0, lane.ready - got);
      const wasHeldBack = limit >= lane.purse.room;
      if (lane.isLimited && (isShort || wasHeldBack)) lane.purse.room = Math.max(1, 2 * got);
      return !isShort && wasHeldBack && lane.ready > 0;
    },
    /** Whether a cap or a budget may pay for calls of a lane; of a batch of which nothing is known yet, too. */
    mayBeLimited: (lane: number) =>
      isSingle(lane) ? lane < SINGLE_TASKS : limited.has(lane) || !limits.has(lane),
    readyIn(batch: number): number {
      let ready = 0;
      for (const lane of of(batch)) ready += lane.ready;
      return ready;
    },
    /** Lanes that could start a call, and all others that take up slots. */
    loads(): Lane[] {
      for (const lane of lanes) if (lane.inFlight === 0 && lane.ready === 0) drop(lane);
      return [...lanes];
    },
  };
}

function createLane(batch: number, model: string): Lane {
  return {
    key: `${batch}/${model}`,
    lane: batch,
    batch,
    model,
    inFlight: 0,
    ready: 0,
    weight: laneWeight(batch),
    batchLimit: 0,
    lastServed: 0,
    isDryRun: false,
    claims: 0,
    byAge: false,
    isLimited: false,
    purse: { room: Infinity },
    price: "unknown",
    upstream: null,
    shutUntil: null,
    isTrial: false,
  };
}

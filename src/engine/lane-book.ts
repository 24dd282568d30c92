import { isSingle, SINGLE_TASKS } from "../domain/batch.ts";
import { type Gate, type LaneLoad, laneWeight } from "../domain/lanes.ts";
import type { LanePrice } from "../domain/prices.ts";
import type { LaneClaim } from "../store/claim.ts";
import type { LaneReady } from "../store/feed.ts";
import type { RunningBatch } from "../store/queue-state.ts";
import type { Upstream } from "./sites.ts";

export type Lane = LaneLoad & {
  lane: number;
  model: string;
  isDryRun: boolean;
  /** Its claims so far. Every eighth one takes the oldest tasks, so that tasks of low priority do not starve. */
  claims: number;
  byAge: boolean;
  /** A claim may give fewer than there are, because of a cap or a budget. */
  isLimited: boolean;
  /**
   * Only for a limited lane: allows a few more starts than there was money for recently, so that other lanes get the
   * slots that it cannot use.
   */
  purse: Gate;
  /** What is known of the price of its calls. */
  price: LanePrice;
  /** The upstream that was chosen for this turn; `null` if no call can start before `shutUntil`. */
  upstream: Upstream | null;
  /** The upstream, if its limits decide how many of the lane's calls may start. */
  pacedBy: Upstream | null;
  shutUntil: number | null;
  isTrial: boolean;
};

/**
 * One in this many claims of single tasks takes the oldest ones. A batch needs no such rule: its tasks were queued
 * together, and their number is limited.
 */
const CLAIMS_UNTIL_AGED = 8;

/**
 * The dispatcher's view of the lanes. The number of ready rows is a hint that claims correct; the number in flight is
 * exact for this process.
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
    /** Sets the ready rows of the listed lanes; all other lanes, or those of one batch, have none. */
    learn(ready: LaneReady[], batch?: number): void {
      for (const lane of batch === undefined ? lanes : of(batch)) lane.ready = 0;
      for (const row of ready) laneOf(row.lane, row.model).ready = row.ready;
    },
    /** Sets the running batches with their `maxConcurrency`; lanes of others are closed. */
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
    /** Notes that a claim gave a lane `got` of the wanted rows. Returns whether it may get more at once. */
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
    /** Whether a cap or a budget may limit a lane; also true for a batch that is not known yet. */
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
    pacedBy: null,
    shutUntil: null,
    isTrial: false,
  };
}

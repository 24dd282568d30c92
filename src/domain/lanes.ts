import { isSingle } from "./batch.ts";
import { fillSlots, type Sharer } from "./share.ts";

/** The tasks of one batch, or the single tasks, for one model. */
export type LaneLoad = Sharer & {
  key: string;
  batch: number;
  /** Most calls in flight over all lanes of the batch. */
  batchLimit: number;
  /** Limits the calls that start now, over all lanes that share it; absent if nothing limits them. */
  gates?: readonly Gate[];
};

export type Gate = { room: number };

/**
 * If more lanes than this share the slots, a lane takes several slots at once, because claiming one task costs as
 * much as claiming several. Only a lane whose earlier calls have all ended does so; otherwise lanes whose calls hang
 * would take all slots.
 */
const MANY_LANES = 100;
const AT_ONCE = 8;

/** Weight of a single task relative to a task of a batch: somebody is waiting for each single task. */
const SINGLE_WEIGHT = 8;

export function laneWeight(batch: number): number {
  return isSingle(batch) ? SINGLE_WEIGHT : 1;
}

/**
 * How many calls may be in flight at most when a lane starts one more. Batches leave some slots free, so
 * that a single task starts at once; half of them are open to a batch lane that has nothing running, so
 * that a lane whose calls hang cannot lock a new one out. They are a sixteenth of all, but no more than four of
 * up to 256: each free slot in sixteen makes a batch a sixteenth slower.
 */
export function ceilingFor(batch: number, laneCalls: number, capacity: number): number {
  if (isSingle(batch)) return capacity;
  return laneCalls === 0 ? openToBatches(capacity) : capacity - reserveOf(capacity);
}

/** How many slots a batch lane with nothing running may find taken when it starts a call. */
function openToBatches(capacity: number): number {
  return capacity - Math.floor(reserveOf(capacity) / 2);
}

function reserveOf(capacity: number): number {
  if (capacity < 2) return 0;
  return Math.max(1, Math.min(4, Math.floor(capacity / 16)), Math.floor(capacity / 64));
}

/**
 * Gives the free slots to lanes. A lane whose calls hang keeps what it has and gets no more while
 * others can use the slots; apart from the reserve no slot stays idle while work may start, unless more than `most`
 * would start now. Returns how many calls each lane starts now; lanes that start none are left out.
 */
export function shareSlots<Lane extends LaneLoad>(
  lanes: readonly Lane[],
  capacity: number,
  most = Infinity,
): Map<Lane, number> {
  const batchCalls = new Map<number, number>();
  const passed = new Map<Gate, number>();
  const isShut = (gate: Gate) => (passed.get(gate) ?? 0) >= gate.room;
  const callsOf = (batch: number) => batchCalls.get(batch) ?? 0;
  for (const { batch, inFlight } of lanes)
    if (inFlight > 0) batchCalls.set(batch, callsOf(batch) + inFlight);
  // Otherwise each of thousands of batches would be compared to learn that the rest is reserved for single tasks.
  const hasSingles = lanes.some(({ batch, ready }) => ready > 0 && isSingle(batch));
  return fillSlots(lanes, {
    capacity: hasSingles ? capacity : openToBatches(capacity),
    most,
    atOnce: ({ inFlight, lastServed }) =>
      lanes.length > MANY_LANES && inFlight === 0 && lastServed > 0 ? AT_ONCE : 1,
    mayTake: ({ batch, batchLimit, gates }, calls, total) =>
      callsOf(batch) < batchLimit &&
      gates?.some(isShut) !== true &&
      total < ceilingFor(batch, calls, capacity),
    onTake({ batch, gates }) {
      batchCalls.set(batch, callsOf(batch) + 1);
      for (const gate of gates ?? []) passed.set(gate, (passed.get(gate) ?? 0) + 1);
    },
  });
}

import { isSingle } from "./batch.ts";

/** Work that shares a fate: the tasks of one batch (or the single tasks) for one model. */
export type LaneLoad = {
  key: string;
  batch: number;
  /** Calls that the lane has in flight, and tasks that it could start at once. */
  inFlight: number;
  ready: number;
  /** Most calls in flight over all lanes of the batch. */
  batchLimit: number;
  /** What lets only so many calls start now, over all lanes that have it; none where nothing does. */
  gates?: readonly Gate[];
  /** Turn in which the lane was last served; of two equals the one that waits longer goes first. */
  lastServed: number;
};

export type Gate = { room: number };

/** Single tasks weigh this many of a batch's: somebody is waiting for each of them. */
const SINGLE_WEIGHT = 8;

/**
 * How many calls may be in flight at most when a lane starts one more. Batches leave a sixteenth of
 * the slots free, so that a single task starts at once; half of that is open to a batch lane that
 * has nothing running, so that a lane whose calls hang cannot lock a new one out.
 */
export function ceilingFor(batch: number, laneCalls: number, capacity: number): number {
  if (isSingle(batch) || capacity < 2) return capacity;
  const reserve = Math.max(1, Math.floor(capacity / 16));
  return laneCalls === 0 ? capacity - Math.floor(reserve / 2) : capacity - reserve;
}

/**
 * Gives the free slots to lanes: each to the lane with the fewest calls in flight for its weight
 * (progressive filling, so the shares are max-min fair). A lane whose calls hang keeps what it has
 * and gets no more while others can use the slots; apart from the reserve no slot stays idle while
 * work may start. Returns how many calls each lane starts now; lanes that start none are left out.
 */
export function shareSlots(lanes: readonly LaneLoad[], capacity: number): Map<string, number> {
  const starts = new Map<string, number>();
  const open = lanes.map((lane) => ({ lane, calls: lane.inFlight, ready: lane.ready }));
  const batchCalls = new Map<number, number>();
  const passed = new Map<Gate, number>();
  const isShut = (gate: Gate) => (passed.get(gate) ?? 0) >= gate.room;
  let total = 0;
  for (const { batch, inFlight } of lanes) {
    batchCalls.set(batch, (batchCalls.get(batch) ?? 0) + inFlight);
    total += inFlight;
  }
  for (; total < capacity; total++) {
    const next = open
      .filter(({ lane, calls, ready }) => {
        if (ready === 0 || (batchCalls.get(lane.batch) ?? 0) >= lane.batchLimit) return false;
        if (lane.gates?.some(isShut)) return false;
        return total < ceilingFor(lane.batch, calls, capacity);
      })
      .reduce<Candidate | undefined>((a, b) => (a && !isBefore(b, a) ? a : b), undefined);
    if (!next) break;
    next.calls++;
    next.ready--;
    for (const gate of next.lane.gates ?? []) passed.set(gate, (passed.get(gate) ?? 0) + 1);
    batchCalls.set(next.lane.batch, (batchCalls.get(next.lane.batch) ?? 0) + 1);
    starts.set(next.lane.key, next.calls - next.lane.inFlight);
  }
  return starts;
}

type Candidate = { lane: LaneLoad; calls: number; ready: number };

function isBefore(a: Candidate, b: Candidate): boolean {
  const difference = weighted(a) - weighted(b);
  return difference === 0 ? a.lane.lastServed < b.lane.lastServed : difference < 0;
}

function weighted({ lane, calls }: Candidate): number {
  return isSingle(lane.batch) ? calls / SINGLE_WEIGHT : calls;
}

import { createHeap } from "../lib/heap.ts";

/** A party that shares slots with others, such as a lane or an endpoint. */
export type Sharer = {
  /** The slots that it holds, and how many more it could use now. */
  inFlight: number;
  ready: number;
  /** A sharer with twice the weight gets twice as many slots. */
  weight: number;
  /** Turn in which it was last served; of two equals the one that waits longer goes first. */
  lastServed: number;
};

export type ShareRules<S extends Sharer> = {
  capacity: number;
  /** Slots that are given now, however many are free. */
  most?: number;
  /**
   * Whether it may take one more slot when it holds `calls` and all together hold `total`. After `false` it is not
   * called again, so it must not turn `true` as more slots are taken.
   */
  mayTake(sharer: S, calls: number, total: number): boolean;
  /** It takes a slot. */
  onTake?(sharer: S): void;
  /** How many slots it takes, if allowed, on its first turn; later one at a time. */
  atOnce?(sharer: S): number;
};

/**
 * Gives the free slots one by one, each to the sharer with the fewest for its weight (progressive filling, so the
 * shares are max-min fair). Returns how many each takes now; those that take none are left out.
 */
export function fillSlots<S extends Sharer>(
  sharers: Iterable<S>,
  { capacity, most: given = Infinity, mayTake, onTake, atOnce }: ShareRules<S>,
): Map<S, number> {
  const starts = new Map<S, number>();
  const heap = createHeap<Candidate<S>>(isBefore);
  const wanting: S[] = [];
  let total = 0;
  for (const sharer of sharers) {
    total += sharer.inFlight;
    if (sharer.ready > 0) wanting.push(sharer);
  }
  const end = Math.min(capacity, total + given);
  if (total >= end) return starts;
  for (const sharer of wanting)
    heap.push({ sharer, calls: sharer.inFlight, held: sharer.inFlight / sharer.weight });
  while (total < end) {
    const next = heap.pop();
    if (!next) break;
    const { sharer } = next;
    let { calls } = next;
    const before = calls;
    const wanted = before === sharer.inFlight ? (atOnce?.(sharer) ?? 1) : 1;
    const most = before + Math.min(wanted, sharer.ready, end - total);
    for (; calls < most && mayTake(sharer, calls, total); calls++, total++) onTake?.(sharer);
    if (calls === before) continue;
    starts.set(sharer, calls - sharer.inFlight);
    if (calls === most && calls < sharer.inFlight + sharer.ready)
      heap.push({ sharer, calls, held: calls / sharer.weight });
  }
  return starts;
}

type Candidate<S> = { sharer: S; calls: number; held: number };

function isBefore<S extends Sharer>(a: Candidate<S>, b: Candidate<S>): boolean {
  return a.held === b.held ? a.sharer.lastServed < b.sharer.lastServed : a.held < b.held;
}

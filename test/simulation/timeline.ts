import { drainMicrotasks } from "bun:jsc";

import type { Cancel } from "../../src/lib/clock.ts";

/**
 * Virtual time. What is to happen stands in a queue by its moment; time jumps from one to the next.
 * Between two, everything that they set off runs to its end: in this world nothing is real that
 * takes time (no thread, no socket, no file), so promises are settled by promises alone, and one
 * drain of the microtasks is all there is to wait for.
 */
export type Timeline = {
  /** Virtual ms since the start of the world. */
  now(): number;
  /** At a moment, or at once where that is past; of the same moment, in the order of the calls. */
  at(time: number, happen: () => void): Cancel;
  /** Lets things happen until `isOver` says so, nothing is left, or time reaches `end`. Returns whether it was over. */
  run(isOver: () => boolean, end: number): boolean;
};

type Entry = { time: number; order: number; happen: (() => void) | undefined };

export function createTimeline(): Timeline {
  const heap: Entry[] = [];
  let now = 0;
  let order = 0;

  return {
    now: () => now,
    at(time, happen) {
      const entry: Entry = { time: Math.max(time, now), order: order++, happen };
      push(heap, entry);
      return () => (entry.happen = undefined);
    },
    run(isOver, end) {
      drainMicrotasks();
      while (!isOver()) {
        const entry = heap[0];
        if (!entry || entry.time > end) {
          now = Math.max(now, end);
          return isOver();
        }
        pop(heap);
        if (!entry.happen) continue;
        now = entry.time;
        entry.happen();
        drainMicrotasks();
      }
      return true;
    },
  };
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.time === b.time ? a.order < b.order : a.time < b.time;
}

function push(heap: Entry[], entry: Entry): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isBefore(entry, heap[above]!)) break;
    heap[at] = heap[above]!;
    at = above;
  }
  heap[at] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = at * 2 + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
    if (!isBefore(heap[below]!, last)) break;
    heap[at] = heap[below]!;
    at = below;
  }
  heap[at] = last;
}

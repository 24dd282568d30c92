import { drainMicrotasks } from "bun:jsc";

import type { Cancel } from "../../src/lib/clock.ts";

/**
 * Virtual time. Future events are in a queue by their time, and the clock jumps from one to the next. Between two events,
 * all work that the first one starts runs to its end. Nothing in this world takes real time (there is no thread, socket
 * or file), so draining the microtasks settles all promises.
 */
export type Timeline = {
  /** Virtual ms since the start of the world. */
  now(): number;
  /** Runs `happen` at a time, or at once if that time is past. Events of the same time run in the order of the calls. */
  at(time: number, happen: () => void): Cancel;
  /** Runs events until `isOver()`, until none is left, or until `end`. Returns the last result of `isOver()`. */
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

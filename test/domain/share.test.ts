import { expect, test } from "bun:test";

import fc from "fast-check";

import { fillSlots, type Sharer } from "../../src/domain/share.ts";

const sharers = fc.array(
  fc.record({
    inFlight: fc.nat(5),
    ready: fc.nat(5),
    weight: fc.constantFrom(0.5, 1, 8),
    lastServed: fc.nat(30),
    most: fc.nat(8),
  }),
  { maxLength: 12 },
);
type Limited = Sharer & { most: number };

const mayTake = ({ most }: Limited, calls: number) => calls < most;
const inFlight = (all: Limited[]) => all.reduce((sum, one) => sum + one.inFlight, 0);

/** Gives each slot to the holder with the fewest slots for its weight, by comparing all of them. */
function fillSlowly(all: Limited[], capacity: number): number[] {
  const starts = all.map(() => 0);
  for (let total = inFlight(all); total < capacity; total++) {
    const wanting = all.flatMap((sharer, i) => {
      const taken = starts[i] ?? 0;
      const calls = sharer.inFlight + taken;
      const wants = taken < sharer.ready && mayTake(sharer, calls);
      return wants ? [{ i, held: calls / sharer.weight, lastServed: sharer.lastServed }] : [];
    });
    const [next] = wanting.toSorted((a, b) => a.held - b.held || a.lastServed - b.lastServed);
    if (!next) break;
    starts[next.i] = (starts[next.i] ?? 0) + 1;
  }
  return starts;
}

/** The slots of each for its weight, the least first. The order of two equals does not matter. */
const shape = (all: Limited[], starts: number[]) =>
  all
    .map(({ inFlight: held, weight, lastServed }, i) => [
      (held + (starts[i] ?? 0)) / weight,
      weight,
      lastServed,
    ])
    .toSorted((a, b) => String(a).localeCompare(String(b)));

test("slots go to those with the fewest, as if all were compared for each slot", () => {
  fc.assert(
    fc.property(sharers, fc.nat(40), (all, capacity) => {
      const filled = fillSlots(all, { capacity, mayTake });
      const starts = all.map((sharer) => filled.get(sharer) ?? 0);
      const slowly = fillSlowly(all, capacity);
      const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
      expect(sum(starts)).toBe(sum(slowly));
      for (const [i, count] of starts.entries())
        expect(count).toBeLessThanOrEqual(all[i]?.ready ?? 0);
      // Two that were last served in the same turn may swap their slots.
      const unlike = new Set(all.map(({ lastServed }) => lastServed));
      if (unlike.size === all.length) expect(shape(all, starts)).toEqual(shape(all, slowly));
    }),
  );
});

test("two thousand that share sixty-four slots are checked once for each slot, and at most once more", () => {
  const all = Array.from({ length: 2000 }, (_, i) => ({
    inFlight: 0,
    ready: 10,
    weight: 1,
    lastServed: i,
  }));
  let asked = 0;
  const filled = fillSlots(all, { capacity: 64, mayTake: () => ++asked > 0 });
  expect([filled.size, asked]).toEqual([64, 64]);
});

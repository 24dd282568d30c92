import { expect, test } from "bun:test";

import { createCourtesy } from "../../src/lib/courtesy.ts";

/** A clock that advances only with work and pauses, and the time that was left to others. */
function world() {
  let now = 0;
  const given: (number | "round")[] = [];
  return {
    given,
    work: (ms: number) => (now += ms),
    clock: {
      monotonic: () => now,
      sleep: async (ms: number) => {
        now += ms;
        given.push(ms);
      },
      setImmediate: (callback: () => void) => {
        given.push("round");
        queueMicrotask(callback);
      },
    },
  };
}

test("background work pauses for three times its run time while requests arrive, and never for long", async () => {
  const { clock, given, work } = world();
  const courtesy = createCourtesy(clock, () => 1);
  for (const ms of [1, 1, 3, 500, 1]) {
    work(ms);
    await courtesy.pause();
  }
  expect(given).toEqual([6, 9, 20]);
});

test("it yields to the event loop from time to time without requests", async () => {
  const { clock, given, work } = world();
  const courtesy = createCourtesy(clock, () => 0);
  for (const ms of [4, 4, 4, 1, 5]) {
    work(ms);
    await courtesy.pause();
  }
  work(100);
  courtesy.begin();
  await courtesy.pause();
  expect(given).toEqual(["round", "round", "round"]);
});

import { expect, test } from "bun:test";

import { BEHAVIOURS } from "../support/limit-behaviours.ts";
import { runWorld } from "../support/limit-world.ts";

/** For each behaviour, the most time over the ideal, and the most refusals per call. */
const MOST: Record<string, [overIdeal: number, refused: number]> = {
  "OpenAI: buckets with headers": [1.05, 0.005],
  "Azure: -1 and 0 in the headers, ten-second windows": [1.25, 0.02],
  "Groq: headers of the day, a limit of seconds": [1.1, 0.02],
  "enqueued tokens": [1.1, 0.02],
  "a limit of calls at once": [1.1, 0.02],
  "minute windows that reset at once": [1.05, 0.005],
  "a sliding window": [1.4, 0.02],
  "Retry-After 0": [1.05, 0.02],
  "resets as epoch and float": [1.02, 0.005],
  "none at all": [1.15, 0],
  "limits of each key and of all": [1.1, 0.02],
  "a limit that shrinks": [1.1, 0.02],
};

test.each(BEHAVIOURS)("$name: nearly as fast as it allows, with few refusals", (behaviour) => {
  const [overIdeal, refused] = MOST[behaviour.name] ?? [0, 0];
  const run = runWorld(behaviour);
  expect(run.failed).toBe(0);
  expect(run.overIdeal).toBeLessThanOrEqual(overIdeal);
  expect(run.refused).toBeLessThanOrEqual(refused);
});

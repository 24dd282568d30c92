import { expect, test } from "bun:test";

import { isProfile, planOf, PROFILES } from "./plan.ts";
import { simulate } from "./seeds.ts";
import { createSimulation } from "./simulation.ts";

/** Of the profile with one node; they take half a minute on two cores. */
const SEEDS = 150;

/** Seeds whose finding is not repaired yet; "Still open" in FOUND.md says what they find. */
const OPEN = new Set(["101"]);

test("the same seed gives the same history, event for event", async () => {
  const simulation = await createSimulation();
  for (const profile of PROFILES)
    for (const seed of ["1", "2", "3", "4"]) {
      const first = await simulation.live(planOf(seed, profile));
      const second = await simulation.live(planOf(seed, profile));
      expect(second).toEqual(first);
    }
}, 240_000);

test("seeds that once found something find nothing any more", async () => {
  const simulation = await createSimulation();
  const lines = (await Bun.file(`${import.meta.dir}/corpus.txt`).text()).trim().split("\n");
  const found: string[] = [];
  for (const line of lines.filter((text) => !text.startsWith("#"))) {
    const [profile = "", seed = ""] = line.split(" ");
    if (!isProfile(profile)) throw new Error(`corpus.txt: ${line}`);
    const { complaints } = await simulation.live(planOf(seed, profile));
    if (complaints.length > 0) found.push(`${profile} ${seed}: ${complaints.join("; ")}`);
  }
  expect(found).toEqual([]);
}, 240_000);

test("random worlds of one node find nothing beyond what FOUND.md lists as open", async () => {
  const found = await simulate({
    profiles: ["single"],
    from: 1,
    count: SEEDS,
    onProgress: () => {},
  });
  const fresh = found.filter(({ seed }) => !OPEN.has(String(seed)));
  expect(fresh.map(({ seed, profile, complaints }) => [profile, seed, complaints])).toEqual([]);
}, 240_000);

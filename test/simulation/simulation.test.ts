import { expect, test } from "bun:test";

import { MUTANTS } from "./mutant-list.ts";
import { isProfile, planOf, PROFILES } from "./plan.ts";
import type { SeedReport } from "./seed-worker.ts";
import { type Job, jobsOf, simulate } from "./seeds.ts";
import { createSimulation } from "./simulation.ts";

/** The number of seeds per profile, besides those of corpus.txt. A world with several nodes takes twice as long. */
const SEEDS = { single: 220, fleet: 80 };

let living: Promise<SeedReport[]> | undefined;

/** The results of all seeds of the suite. Those with several nodes are first, because they take longest. */
function allReports(): Promise<SeedReport[]> {
  living ??= (async () => {
    const reports: SeedReport[] = [];
    const random = PROFILES.toReversed().flatMap((profile) => jobsOf(profile, 1, SEEDS[profile]));
    await simulate({
      jobs: [...(await corpus()), ...random],
      onReport: (report) => reports.push(report),
    });
    return reports;
  })();
  return living;
}

async function corpus(): Promise<Job[]> {
  const lines = (await Bun.file(`${import.meta.dir}/corpus.txt`).text()).trim().split("\n");
  return lines
    .filter((line) => !line.startsWith("#"))
    .map((line) => {
      const [profile = "", seed = ""] = line.split(" ");
      if (!isProfile(profile)) throw new Error(`corpus.txt: ${line}`);
      return { profile, from: Number(seed), count: 1 };
    });
}

test("random worlds, and those that once found a fault, find none", async () => {
  const reports = await allReports();
  const found = reports.filter(({ complaints }) => complaints.length > 0);
  expect(found.map(({ profile, seed, complaints }) => [profile, seed, complaints])).toEqual([]);
}, 600_000);

test("the same seed gives the same history, event for event, in another process too", async () => {
  const reports = await allReports();
  const simulation = await createSimulation();
  let runs = 0;
  for (const profile of PROFILES)
    for (const seed of ["1", "2", "3", "4"]) {
      const { trace: _, ...outcome } = await simulation.live(planOf(seed, profile));
      const other = reports.find((report) => report.profile === profile && report.seed === seed);
      expect<SeedReport | undefined>(other).toEqual({ ...outcome, profile, seed });
      runs += outcome.runs;
    }
  expect(runs).toBeGreaterThan(0);
}, 600_000);

test("each mutant of mutant-list.ts changes existing text", async () => {
  for (const { name, edits } of MUTANTS)
    for (const [file, find] of edits)
      expect([name, file, (await Bun.file(file).text()).includes(find)]).toEqual([
        name,
        file,
        true,
      ]);
});

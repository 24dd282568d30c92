import { planOf, type Profile } from "./plan.ts";
import { type Job, linesOf } from "./seeds.ts";
import { createSimulation } from "./simulation.ts";
import type { Outcome } from "./world.ts";

/** The result of a seed. */
export type SeedReport = Omit<Outcome, "trace"> & { seed: string; profile: Profile };

/// The entry of a process that simulates seeds. It reads one job per line, as JSON.

if (import.meta.main) {
  const simulation = await createSimulation();
  for await (const line of linesOf(Bun.stdin.stream())) {
    const { profile, from, count } = JSON.parse(line) as Job;
    const reports: SeedReport[] = [];
    for (let i = 0; i < count; i++) {
      const seed = String(from + i);
      const { trace: _, ...outcome } = await simulation.live(planOf(seed, profile));
      reports.push({ ...outcome, seed, profile });
    }
    console.log(JSON.stringify(reports));
  }
}

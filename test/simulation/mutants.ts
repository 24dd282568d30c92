import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Mutant, MUTANTS } from "./mutant-list.ts";
import type { SeedReport } from "./seed-worker.ts";
import { jobsOf, simulate } from "./seeds.ts";

/** Applies one mutant after the other to a copy of the tree, and reports which ones the seeds catch. */
export async function runMutants(only: string | undefined, mostSeeds: number): Promise<boolean> {
  let isSound = true;
  for (const mutant of MUTANTS.filter(({ name }) => only === undefined || name.includes(only))) {
    const root = copyTree();
    try {
      for (const [file, find, put] of mutant.edits) edit(join(root, file), find, put);
      const begun = performance.now();
      const first = await firstToCatch(mutant, root, mostSeeds);
      const seconds = Math.round((performance.now() - begun) / 1000);
      isSound &&= first !== undefined;
      const how = first ? `seed ${first.seed}: ${first.complaints[0]}` : "not caught";
      console.log(`| ${mutant.name} | ${mutant.profile} | ${how} | ${seconds} s |`);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }
  return isSound;
}

/** The first seed that finds a fault in the mutated tree and none in this one. The known seed is tried first. */
async function firstToCatch(
  { profile, caughtBy }: Mutant,
  root: string,
  mostSeeds: number,
): Promise<SeedReport | undefined> {
  const known = caughtBy === undefined ? [] : jobsOf(profile, caughtBy, 1);
  for (
    let jobs = known, from = 0;
    from <= mostSeeds;
    jobs = jobsOf(profile, from, mostSeeds + 1 - from)
  ) {
    const found = await simulate({ jobs, onlyFirst: true, root });
    const seeds = found.toSorted((a, b) => Number(a.seed) - Number(b.seed));
    for (const report of seeds) {
      const here = await simulate({ jobs: jobsOf(profile, Number(report.seed), 1) });
      if (here.length === 0) return report;
    }
    from = from === 0 ? 1 : Number(seeds.at(-1)?.seed ?? mostSeeds) + 1;
  }
  return undefined;
}

function copyTree(): string {
  const root = mkdtempSync(join(tmpdir(), "mutant-"));
  for (const part of ["src", "test", "drizzle", "package.json", "tsconfig.json", "bunfig.toml"])
    cpSync(part, join(root, part), { recursive: true });
  symlinkSync(join(process.cwd(), "node_modules"), join(root, "node_modules"));
  return root;
}

/** Fails if the text is missing: a mutant that changes nothing proves nothing. */
function edit(path: string, find: string, put: string): void {
  const text = readFileSync(path, "utf8");
  if (!text.includes(find)) throw new Error(`${path} does not contain ${JSON.stringify(find)}`);
  writeFileSync(path, text.replaceAll(find, put));
}

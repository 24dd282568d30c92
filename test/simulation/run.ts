import { parseArgs } from "node:util";

import { answerHelp } from "../../src/lib/script-help.ts";
import { runMutants } from "./mutants.ts";
import { isProfile, type Profile, PROFILES } from "./plan.ts";
import { jobsOf, simulate } from "./seeds.ts";
import { traceSeed } from "./trace.ts";

answerHelp(import.meta.url);

/*
 * bun run simulate [--seeds 1000] [--from 1] [--profile single|fleet]
 * bun run simulate --seed 4711 [--profile single] [--trace]
 * bun run simulate --mutants [--mutant NAME] [--seeds 500]
 *
 * Exits with 1 if a seed finds a fault.
 */
const values = readOptions();

const seeds = Number(values.seeds ?? (values.mutants ? 500 : 1000));
if (values.mutants) process.exit((await runMutants(values.mutant, seeds)) ? 0 : 1);

const profiles = values.profile === undefined ? [...PROFILES] : [requireProfile(values.profile)];
if (values.seed === undefined) {
  const found = await simulate({
    jobs: profiles.flatMap((profile) => jobsOf(profile, Number(values.from), seeds)),
    onProgress: (line) => console.log(line),
  });
  process.exit(found.length > 0 ? 1 : 0);
}
let isSound = true;
for (const profile of profiles)
  isSound = (await traceSeed(values.seed, profile, values.trace)) && isSound;
process.exit(isSound ? 0 : 1);

function readOptions() {
  try {
    return parseArgs({
      options: {
        seeds: { type: "string" },
        from: { type: "string", default: "1" },
        profile: { type: "string" },
        seed: { type: "string" },
        trace: { type: "boolean", default: false },
        mutants: { type: "boolean", default: false },
        mutant: { type: "string" },
      },
    }).values;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  }
}

function requireProfile(name: string): Profile {
  if (isProfile(name)) return name;
  console.error(`--profile is one of ${PROFILES.join(", ")}, not ${name}`);
  process.exit(2);
}

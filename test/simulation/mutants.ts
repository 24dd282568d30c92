import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Profile } from "./plan.ts";
import { simulate } from "./seeds.ts";

/** A deliberate breakage: a text of a source file, and what stands in its place. */
type Mutant = {
  name: string;
  profile: Profile;
  file: string;
  edits: [find: string, put: string][];
};

/** Each must be caught within so many seeds. */
const MOST_SEEDS = 500;

export const MUTANTS: Mutant[] = [
  {
    name: "settle what another node owns",
    profile: "fleet",
    file: "src/store/ended.ts",
    edits: [["+q.owner = ?", "? IS NOT NULL"]],
  },
  {
    name: "leave no room in a cap for calls under way",
    profile: "single",
    file: "src/store/room.ts",
    edits: [["AS INTEGER) - b.running", "AS INTEGER)"]],
  },
  {
    name: "reserve nothing of a budget",
    profile: "single",
    file: "src/store/room.ts",
    edits: [["WHERE payer = k.seq AND owner IS NOT NULL AND", "WHERE payer < 0 AND"]],
  },
  {
    name: "let single tasks pass by the cap of their batch",
    profile: "single",
    file: "src/store/room.ts",
    edits: [["WHERE b.seq = ${batch} AND b.max_cost_usd IS NOT NULL", "WHERE b.seq < 0"]],
  },
  {
    name: "charge the key that made a task",
    profile: "single",
    file: "src/store/settle.ts",
    edits: [["SELECT q.payer, ?, count(*)", "SELECT 1, ?, count(*)"]],
  },
  {
    name: "forget what attempts cost that came to nothing",
    profile: "single",
    file: "src/store/settle.ts",
    edits: [["cost_usd = batches.cost_usd + failed_now.usd,", ""]],
  },
  {
    name: "never give back a claim that nobody knows of",
    profile: "fleet",
    file: "src/engine/claiming.ts",
    edits: [["released: compares ?", "released: compares && next < 0 ?"]],
  },
  {
    name: "give up what the database refuses for another attempt of the whole",
    profile: "fleet",
    file: "src/engine/settlement.ts",
    edits: [['fateOf(error) !== "refused"', "fateOf(error) !== undefined"]],
  },
];

/** Breaks a copy of the tree in one way after the other, and tells which breakages the simulation catches. */
export async function runMutants(only: string | undefined): Promise<boolean> {
  let isSound = true;
  for (const mutant of MUTANTS.filter(({ name }) => only === undefined || name.includes(only))) {
    const root = copyTree();
    try {
      for (const [find, put] of mutant.edits) edit(join(root, mutant.file), find, put);
      const begun = performance.now();
      const [first] = await simulate({
        profiles: [mutant.profile],
        from: 1,
        count: MOST_SEEDS,
        onlyFirst: true,
        onProgress: () => {},
        root,
      });
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

function copyTree(): string {
  const root = mkdtempSync(join(tmpdir(), "mutant-"));
  for (const part of ["src", "test", "drizzle", "package.json", "tsconfig.json", "bunfig.toml"])
    cpSync(part, join(root, part), { recursive: true });
  symlinkSync(join(process.cwd(), "node_modules"), join(root, "node_modules"));
  return root;
}

/** Fails where the text is not there exactly once or more: a mutant that changes nothing proves nothing. */
function edit(path: string, find: string, put: string): void {
  const text = readFileSync(path, "utf8");
  if (!text.includes(find)) throw new Error(`${path} does not contain ${JSON.stringify(find)}`);
  writeFileSync(path, text.replaceAll(find, put));
}

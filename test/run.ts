/*
 * `bun run test [FILE…]`: the tests, in one process, and then the plans of every statement that they made
 * the program prepare (`plans/check.ts`).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { checkPlans } from "./plans/check.ts";

const args = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "plans-"));
const file = join(folder, "recorded.jsonl");
writeFileSync(file, "");
const tests = Bun.spawn([process.execPath, "test", "--timeout", "30000", ...args], {
  env: { ...process.env, PLANS_FILE: file },
  stdio: ["inherit", "inherit", "inherit"],
});
const status = await tests.exited;
const isWholeSuite = args.every((arg) => arg.startsWith("--reporter"));
const wrong = status === 0 ? await checkPlans(file, isWholeSuite) : [];
rmSync(folder, { recursive: true });
for (const what of wrong) console.error(`plans: ${what}`);
process.exit(status === 0 && wrong.length === 0 ? 0 : 1);

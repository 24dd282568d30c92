/*
 * bun run test [what `bun test` takes]
 *
 * Builds the page, installs Deno and the libSQL server, then runs the suite in several processes, because tests mostly
 * wait. The tests record the program's SQL statements (`plans/record.ts`), and the query plans are checked at the end.
 * The last lines say which tests were left out, and why.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { checkPlans } from "./plans/check.ts";
import { RECORDS_FOLDER, type RecordFile } from "./plans/record-file.ts";
import { buildPage, PAGE_IS_BUILT } from "./support/page.ts";
import { installTools, leftOut } from "./support/tools.ts";

/** More processes would disturb tests that measure delays. */
const PROCESSES = 2;
/** Options that do not select tests. */
const IS_HARMLESS = /^--(timeout|reporter|reporter-outfile|coverage|coverage-\w+|bail)(=.*)?$/;

const given = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "suite-"));
buildPage();
const whyNotInstalled = await installTools();
try {
  process.exitCode = await runTests();
  if (!(await arePlansSound())) process.exitCode = 1;
  if (whyNotInstalled !== undefined) console.log(`left out: ${whyNotInstalled}`);
  for (const line of leftOut()) console.log(`left out: ${line}`);
} finally {
  rmSync(folder, { recursive: true });
}

async function runTests(): Promise<number> {
  const options = ["--timeout=30000", `--parallel=${PROCESSES}`, "--no-isolate"];
  const child = Bun.spawn([process.execPath, "test", ...options, ...given], {
    env: { ...process.env, [RECORDS_FOLDER]: folder, [PAGE_IS_BUILT]: "1" },
    stdio: ["inherit", "inherit", "inherit"],
  });
  return child.exited;
}

async function arePlansSound(): Promise<boolean> {
  const statements = new Set<string>();
  const reached = new Set<string>();
  for (const name of readdirSync(folder)) {
    const record = (await Bun.file(join(folder, name)).json()) as RecordFile;
    for (const sql of record.statements) statements.add(sql);
    for (const one of record.reached) reached.add(one);
  }
  const isWholeSuite = given.every((argument) => IS_HARMLESS.test(argument));
  const wrong = await checkPlans({ statements, reached }, isWholeSuite);
  for (const what of wrong) console.error(`plans: ${what}`);
  return wrong.length === 0;
}

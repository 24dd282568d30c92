/*
 * bun run test [what `bun test` takes]
 *
 * Runs the suite in a few processes at a time, since most tests wait for something most of the time. What each
 * of them recorded of the program's statements (`plans/record.ts`) is judged at the end, together.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { checkPlans } from "./plans/check.ts";
import { RECORDS_FOLDER, type RecordFile } from "./plans/record-file.ts";

/** More take the processor from tests that measure how soon something happens. */
const PROCESSES = 3;
/** These do not choose among the tests. */
const IS_HARMLESS = /^--(timeout|reporter|reporter-outfile|coverage|coverage-\w+|bail)(=.*)?$/;

const given = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "suite-"));
try {
  process.exitCode = await runTests();
  if (!(await arePlansSound())) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

async function runTests(): Promise<number> {
  const options = ["--timeout=30000", `--parallel=${PROCESSES}`, "--no-isolate"];
  const child = Bun.spawn([process.execPath, "test", ...options, ...given], {
    env: { ...process.env, [RECORDS_FOLDER]: folder },
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

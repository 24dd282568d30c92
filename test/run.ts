/*
 * bun run test [what `bun test` takes]
 *
 * Builds the page, installs Deno and the libSQL server, then runs the suite in several processes, because tests mostly
 * wait. The whole suite starts the program hundreds of times, so it compiles it first, unless COMPILED_PROGRAM names a
 * compiled one. The tests record the program's SQL statements (`plans/record.ts`), and the query plans are checked at
 * the end. The last lines say which tests were left out, and why.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { answerHelp } from "../src/lib/script-help.ts";
import { checkPlans } from "./plans/check.ts";
import { RECORDS_FOLDER, type RecordFile } from "./plans/record-file.ts";
import { buildPage, PAGE_IS_BUILT } from "./support/page.ts";
import { COMPILED_PROGRAM } from "./support/program.ts";
import { installTools, leftOut } from "./support/tools.ts";

answerHelp(import.meta.url);

/** More processes would disturb tests that measure delays. */
const PROCESSES = 2;
/** Options that do not select tests. */
const IS_HARMLESS = /^--(timeout|reporter|reporter-outfile|coverage|coverage-\w+|bail)(=.*)?$/;

/** Test folders are here if there is room and TMPDIR is not set, because a busy disk slows tests down. */
const MEMORY = "/dev/shm";
const ROOM_BYTES = 4e9;
/** Exit codes from here on. */
const ENDED_BY_SIGNAL = 128;

const given = process.argv.slice(2);
const isWholeSuite = given.every((argument) => IS_HARMLESS.test(argument));
const folder = mkdtempSync(
  join(process.env["TMPDIR"] ?? (hasRoom(MEMORY) ? MEMORY : tmpdir()), "suite-"),
);
const records = join(folder, "records");
mkdirSync(records);
const compiled = mkdtempSync(join(tmpdir(), "compiled-"));
// Some tests start programs as another user.
chmodSync(folder, 0o755);
try {
  buildPage();
  const [whyNotInstalled, program] = await Promise.all([installTools(), compiledProgram()]);
  const code = await runTests(program);
  process.exitCode = code;
  if (code < ENDED_BY_SIGNAL && !(await arePlansSound())) process.exitCode = 1;
  if (whyNotInstalled !== undefined) console.log(`left out: ${whyNotInstalled}`);
  for (const line of leftOut()) console.log(`left out: ${line}`);
} finally {
  // Programs that tests have started may be about to end.
  for (const path of [folder, compiled])
    rmSync(path, { recursive: true, force: true, maxRetries: 10 });
}

/** Not in the test folder, because programs cannot be run from `/dev/shm` on every machine. */
async function compiledProgram(): Promise<Record<string, string>> {
  if (!isWholeSuite || process.env[COMPILED_PROGRAM] !== undefined) return {};
  const path = join(compiled, "gptrunner");
  const child = Bun.spawn([process.execPath, ".ci/compile.ts", path], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error("the program could not be compiled");
  return { [COMPILED_PROGRAM]: path };
}

async function runTests(program: Record<string, string>): Promise<number> {
  const options = ["--timeout=60000", `--parallel=${PROCESSES}`, "--no-isolate"];
  const child = Bun.spawn([process.execPath, "test", ...options, ...given], {
    env: {
      ...process.env,
      ...program,
      TMPDIR: folder,
      [RECORDS_FOLDER]: records,
      [PAGE_IS_BUILT]: "1",
    },
    stdio: ["inherit", "inherit", "inherit"],
  });
  // The folder must be removed however the tests end.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  return child.exited;
}

function hasRoom(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize > ROOM_BYTES;
  } catch {
    return false;
  }
}

async function arePlansSound(): Promise<boolean> {
  const statements = new Set<string>();
  const reached = new Set<string>();
  for (const name of readdirSync(records)) {
    const record = (await Bun.file(join(records, name)).json()) as RecordFile;
    for (const sql of record.statements) statements.add(sql);
    for (const one of record.reached) reached.add(one);
  }
  const wrong = await checkPlans({ statements, reached }, isWholeSuite);
  for (const what of wrong) console.error(`plans: ${what}`);
  return wrong.length === 0;
}

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

import { openDatabase } from "../../src/db/client.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { COUNTERS_REPAIR, recordRepair } from "../../src/store/repairs.ts";

let template: Promise<string> | undefined;

/**
 * Copies a database with all tables into a folder, which is faster than the migrations. Its counters need no repair,
 * which could otherwise race with a test that damages them.
 */
export async function putEmptyDatabase(folder: string): Promise<void> {
  copyFileSync(await (template ??= makeTemplate()), join(folder, "task-runner.db"));
}

/** Created once for all servers of this process. */
async function makeTemplate(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "template-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "task-runner.db");
  const database = await openDatabase(`file:${path}`, createSystemClock());
  const { sql, args } = recordRepair(COUNTERS_REPAIR, 0);
  await database.client.execute({ sql, args });
  await database.close();
  return path;
}

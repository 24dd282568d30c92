import { expect, test } from "bun:test";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { type Json, until } from "../support/server.ts";

/** Damages the counters as a task did that was settled twice. */
async function damage(folder: string, ...before: string[]): Promise<void> {
  const client = createClient({ url: `file:${join(folder, "task-runner.db")}` });
  for (const sql of before) await client.execute(sql);
  await client.execute(
    "UPDATE batches SET running = running - 3, completed = completed + 3 WHERE id = 'b'",
  );
  client.close();
}

async function progressOf(app: { get(path: string): Promise<{ body: Json }> }): Promise<Json> {
  return (await app.get("/batches/b")).body.data.progress;
}

test("counters that faults of earlier versions damaged are corrected once, at the first start", async () => {
  using folder = temporaryFolder();
  const env = { DATA_DIR: folder.path, SIMULATOR_LATENCY_MS: "0" };
  await using app = await startProcess(env);
  const tasks = Array.from({ length: 5 }, (_, i) => ({ prompt: `p${i}` }));
  await app.post("/batches", { id: "b", tasks });
  await app.post("/batches/b/execute");
  await app.finished("b");
  expect(await app.kill("SIGTERM")).toBe(0);

  // The database of a version that did not know of the repair.
  await damage(folder.path, "DELETE FROM repairs");
  await using first = await startProcess(env);
  await until(() => first.output.stderr.includes("Their counters were corrected") || undefined);
  expect(await progressOf(first)).toMatchObject({ completed: 5, running: 0 });
  const [line] = first.output.stderr.trim().split("\n");
  expect(JSON.parse(line ?? "")).toMatchObject({
    level: "warning",
    batches: 1,
    corrected: [
      { batchId: "b", counter: "completed", stored: 8, counted: 5 },
      { batchId: "b", counter: "running", stored: -3, counted: 0 },
    ],
  });
  expect(await first.kill("SIGTERM")).toBe(0);

  // Later differences are bugs: they are reported, and not corrected silently.
  await damage(folder.path);
  await using second = await startProcess(env);
  // The end of the process waits for a repair that has begun.
  expect(await second.kill("SIGTERM")).toBe(0);
  await using third = await startProcess(env);
  expect(await progressOf(third)).toMatchObject({ completed: 8, running: -3 });
});

import { expect, test } from "bun:test";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { until } from "../support/server.ts";

const TASKS = 3000;
const KILLS = 22;
const IN_FLIGHT = 64;

/** Tasks whose result is in the database file of a process that was killed. */
async function committedIn(folder: string): Promise<string[]> {
  const client = createClient({ url: `file:${join(folder, "task-runner.db")}` });
  const { rows } = await client.execute("SELECT id FROM tasks WHERE status = 'completed'");
  client.close();
  return rows.map(({ id }) => String(id));
}

test(`killed ${KILLS} times at random moments, a batch ends whole and nothing committed is asked again`, async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(async () => {
    await Bun.sleep(20 + Math.random() * 80);
  });
  const env = {
    DATA_DIR: folder.path,
    ...provider.env,
    MAX_CONCURRENCY: String(IN_FLIGHT),
    RETRY_BASE_MS: "1",
    // The same few tasks are under way each time.
    MAX_INTERRUPTIONS: "100",
  };
  const callsWhenCommitted = new Map<string, number>();
  let app = await startProcess(env);
  await app.post("/batches", {
    id: "b",
    tasks: Array.from({ length: TASKS }, (_, i) => ({ id: `t${i}`, prompt: `t${i}` })),
  });
  await app.post("/batches/b/execute");
  for (let kill = 0; kill < KILLS; kill++) {
    // Work has begun again, however slow the machine is.
    const before = provider.requests.length;
    await until(() => provider.requests.length > before || undefined);
    await Bun.sleep(Math.random() * 250);
    await app.kill("SIGKILL");
    for (const id of await committedIn(folder.path))
      if (!callsWhenCommitted.has(id)) callsWhenCommitted.set(id, provider.counts.get(id) ?? 0);
    app = await startProcess(env);
  }
  await using last = app;
  const beforeTheEnd = callsWhenCommitted.size;
  expect(beforeTheEnd).toBeGreaterThan(50);
  expect(beforeTheEnd).toBeLessThan(TASKS);

  const batch = await last.finished("b");
  expect(batch).toMatchObject({
    status: "completed",
    progress: { total: TASKS, completed: TASKS, failed: 0, cancelled: 0, pending: 0, running: 0 },
    usage: { promptTokens: TASKS * 10, completionTokens: TASKS * 5 },
  });
  expect(provider.counts.size).toBe(TASKS);
  expect(provider.requests.length).toBeLessThanOrEqual(TASKS + KILLS * IN_FLIGHT);
  const askedAgain = [...callsWhenCommitted].filter(
    ([id, calls]) => provider.counts.get(id) !== calls,
  );
  expect(askedAgain).toEqual([]);
  const executions = await last.get("/tasks/t0/executions");
  expect(executions.body.data.executions).toHaveLength(1);
  expect((await last.get(`${last.url}/readyz?deep=1`)).status).toBe(200);
}, 180_000);

import { expect, test } from "bun:test";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { hang, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

test("after a kill the work continues by itself at the next start", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(({ earlier }) => (earlier === 0 ? hang() : undefined));
  const env = { DATA_DIR: folder.path, ...provider.env, MAX_CONCURRENCY: "16" };
  await using app = await startProcess(env);
  const tasks = Array.from({ length: 50_000 }, (_, i) => ({ prompt: `p${i}` }));
  await app.post("/batches", { id: "b", tasks });
  await app.post("/batches/b/execute");
  await app.post("/tasks?execute=true", { id: "single", prompt: "single" });
  await until(() => (provider.counts.has("single") && provider.requests.length >= 15) || undefined);
  await app.kill("SIGKILL");

  const calledBefore = provider.requests.length;
  await using again = await startProcess(env);
  await until(() => provider.requests.length > calledBefore || undefined);
  expect(await again.ended("single")).toMatchObject({ status: "completed", attempts: 2 });
  const [execution] = (await again.get("/tasks/single/executions")).body.data.executions;
  expect(execution.attempts.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
    "interrupted",
    "completed",
  ]);
  const { progress } = (await again.get("/batches/b")).body.data;
  expect(progress.total).toBe(
    progress.completed + progress.failed + progress.cancelled + progress.pending + progress.running,
  );
});

test("an interrupted attempt is not a failed one", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(({ earlier }) => (earlier < 3 ? hang() : undefined));
  const env = { DATA_DIR: folder.path, ...provider.env, MAX_RETRIES: "0" };
  for (let kill = 1; kill <= 3; kill++) {
    await using app = await startProcess(env);
    if (kill === 1) await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.requests.length === kill || undefined);
    await app.kill("SIGKILL");
  }
  await using last = await startProcess(env);
  expect(await last.ended("t")).toMatchObject({ status: "completed", attempts: 4 });
});

test("a task whose process is killed at every attempt fails at the fifth, and others continue", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(({ prompt }) =>
    prompt === "deadly" ? hang() : undefined,
  );
  const env = { DATA_DIR: folder.path, ...provider.env, MAX_RETRIES: "0" };
  const tasks = [{ id: "deadly", prompt: "deadly" }, { prompt: "harmless" }];
  for (let kill = 1; kill <= 5; kill++) {
    await using app = await startProcess(env);
    if (kill === 1) {
      await app.post("/batches", { id: "b", tasks });
      await app.post("/batches/b/execute");
    }
    await until(() => provider.counts.get("deadly") === kill || undefined);
    if (kill === 1)
      await until(async () => (await app.get("/batches/b")).body.data.progress.completed === 1);
    await app.kill("SIGKILL");
  }
  await using last = await startServer(env);
  const { error, attempts } = await last.ended("deadly");
  expect(error).toMatchObject({ code: "INTERRUPTED_TOO_OFTEN" });
  expect(attempts).toBe(5);
  const batch = await last.finished("b");
  expect(batch).toMatchObject({ status: "completed", progress: { completed: 1, failed: 1 } });
  const [execution] = (await last.get("/tasks/deadly/executions")).body.data.executions;
  expect(execution.attempts.map(({ outcome }: { outcome: string }) => outcome)).toEqual(
    Array.from({ length: 5 }, () => "interrupted"),
  );
  expect(provider.counts.get("deadly")).toBe(5);
  expect((await last.get(`${last.url}/readyz?deep=1`)).status).toBe(200);
  // When it is executed again, its attempts count from zero.
  await last.post("/tasks/deadly/execute");
  await until(() => provider.counts.get("deadly") === 6 || undefined);
});

test("a graceful stop does not count as an interruption", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(({ earlier }) => (earlier < 6 ? hang() : undefined));
  const env = { DATA_DIR: folder.path, ...provider.env, SHUTDOWN_GRACE_SECONDS: "0" };
  for (let stop = 1; stop <= 6; stop++) {
    await using app = await startProcess(env);
    if (stop === 1) await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.requests.length === stop || undefined);
    await app.kill("SIGTERM");
  }
  await using last = await startProcess(env);
  expect(await last.ended("t")).toMatchObject({ status: "completed", attempts: 7 });
});

test("a batch that was being created when the process died leaves no trace", async () => {
  using folder = temporaryFolder();
  await using app = await startProcess({ DATA_DIR: folder.path });
  const tasks = Array.from({ length: 50_000 }, (_, i) => ({ id: `t${i}`, prompt: "x" }));
  const creating = app.post("/batches", { id: "b", tasks }).catch(() => undefined);
  // Rows become visible only with the last commit, so nothing is visible from outside yet.
  await Bun.sleep(400);
  await app.kill("SIGKILL");
  await creating;
  await using again = await startProcess({ DATA_DIR: folder.path });
  const created = (await again.get("/batches/b")).status === 200;
  const { total } = (await again.get("/tasks")).body.data.pagination;
  expect(total).toBe(created ? 50_000 : 0);
  if (!created) expect((await again.post("/tasks", { id: "t1", prompt: "x" })).status).toBe(201);
  expect((await again.get(`${again.url}/readyz?deep=1`)).status).toBe(200);
});

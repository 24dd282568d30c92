import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type RunnerProcess, startProcess } from "../support/process.ts";
import { startServer, until } from "../support/server.ts";

function csvOf(rows: number): string {
  return `id,prompt\n${Array.from({ length: rows }, (_, i) => `row-${i},Hello ${i}\n`).join("")}`;
}

describe("a large file", () => {
  test("is stored whole or not at all if the process is killed half-way", async () => {
    const dir = mkdtempSync(join(tmpdir(), "runner-"));
    mkdirSync(join(dir, "files"));
    writeFileSync(join(dir, "files", "in.csv"), csvOf(60_000));
    const env = { DATA_DIR: dir };
    const storedRows = async () => {
      const { createClient } = await import("@libsql/client");
      const reader = createClient({ url: `file:${join(dir, "task-runner.db")}` });
      const { rows } = await reader.execute("SELECT count(*) AS n FROM tasks");
      reader.close();
      return Number(rows[0]?.["n"]);
    };
    {
      await using app = await startProcess(env);
      const creating = app
        .post("/batches", { id: "b", inputFile: "in.csv" })
        .catch(() => undefined);
      // Its first rows can be seen in the database while it does not exist for anybody.
      await until(async () => (await app.get("/tasks?limit=1")).status === 200);
      await until(async () => (await storedRows()) >= 5000 || undefined);
      expect((await app.get("/batches/b")).status).toBe(404);
      expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
      expect((await app.get("/tasks/row-1")).status).toBe(404);
      await app.kill("SIGKILL");
      await creating;
    }
    await using app = await startProcess(env);
    expect((await app.get("/batches/b")).status).toBe(404);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
    // The rest of the draft is removed in the background.
    await until(async () => (await storedRows()) === 0 || undefined, 60_000);
    const { status, body } = await app.post("/batches", { id: "b", inputFile: "in.csv" });
    expect([status, body.data?.taskCount]).toEqual([201, 60_000]);
    await app.kill("SIGTERM");
    rmSync(dir, { recursive: true });
  });

  test("lets other requests through while it is read", async () => {
    await using app = await startServer();
    mkdirSync(app.filesDir, { recursive: true });
    writeFileSync(join(app.filesDir, "in.csv"), csvOf(40_000));
    const state = { isDone: false };
    const creating = app.post("/batches", { id: "b", inputFile: "in.csv" }).then((answer) => {
      state.isDone = true;
      return answer;
    });
    let answered = 0;
    while (!state.isDone) {
      await app.post("/tasks?execute=true", { prompt: "meanwhile" });
      answered++;
    }
    expect((await creating).status).toBe(201);
    // Some thirty chunks are checked and then written; each lets in what has come meanwhile.
    expect(answered).toBeGreaterThan(5);
  });
});

describe("a file that is not what it should be", () => {
  test("is refused with its name, and nothing is created", async () => {
    await using app = await startServer();
    mkdirSync(app.filesDir, { recursive: true });
    const path = (name: string) => join(app.filesDir, name);
    execFileSync("mkfifo", [path("fifo.csv")]);
    writeFileSync(path("huge.csv"), `prompt\n"${"x".repeat(10 * 1024 * 1024)}"\n`);
    writeFileSync(path("ragged.csv"), "prompt,a\nx\ny,1,2\nz,1\n");
    writeFileSync(path("huge.jsonl"), `{"prompt":"${"x".repeat(17 * 1024 * 1024)}"}\n`);
    writeFileSync(path("secret.csv"), "prompt\nx\n");
    chmodSync(path("secret.csv"), 0o000);
    const expected: Record<string, string> = {
      "fifo.csv": "is not a regular file",
      "huge.csv": "has a row of more than 8 MiB",
      "ragged.csv": "the row has 1 cells, the header 2",
      "huge.jsonl": "has a line of more than 16 MiB",
      // Root can read every file.
      ...(process.getuid?.() === 0 ? {} : { "secret.csv": "permission denied" }),
    };
    for (const [inputFile, message] of Object.entries(expected)) {
      const { status, body } = await app.post("/batches", { inputFile });
      expect([inputFile, status, body.error.code]).toEqual([inputFile, 400, "VALIDATION_ERROR"]);
      expect(body.error.message).toContain(message);
    }
    expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
    const { rows } = await app.ctx.client.execute("SELECT count(*) AS n FROM tasks");
    expect(rows[0]?.["n"]).toBe(0);
  });
});

describe("an estimate", () => {
  test("counts prompts with the tokenizer and prices them", async () => {
    await using app = await startServer();
    const tasks = Array.from({ length: 10 }, () => ({ prompt: "Hello world", maxTokens: 100 }));
    await app.post("/batches", {
      id: "b",
      tasks,
      config: { model: "gpt-4o-mini", maxConcurrency: 5 },
    });
    const { data } = (await app.get("/batches/b/estimate")).body;
    // "Hello world" is 2 tokens, its message 3 more, the reply's start another 3.
    expect(data).toMatchObject({
      tasks: 10,
      sampledTasks: 10,
      differentRequests: 1,
      promptTokens: 80,
      completionTokens: { min: 10, max: 1000 },
      unpricedModels: [],
      concurrency: 5,
      durationSeconds: 4,
    });
    expect(data.costUsd.max).toBeCloseTo((80 * 0.15 + 1000 * 0.6) / 1e6, 9);
    await app.post("/batches/b/execute");
    const { usage } = await app.finished("b");
    expect(usage.promptTokens).toBe(80);
    expect((await app.get("/batches/b/estimate")).body.data).toMatchObject({
      tasks: 0,
      promptTokens: 0,
    });
  });

  test("of very many tasks is made from a thousand of them, and says so", async () => {
    await using app = await startServer({ ALLOWED_MODELS: "*" });
    mkdirSync(app.filesDir, { recursive: true });
    writeFileSync(join(app.filesDir, "in.csv"), csvOf(20_000));
    await app.post("/batches", { id: "b", inputFile: "in.csv", config: { model: "made-up" } });
    const { data } = (await app.get("/batches/b/estimate")).body;
    expect(data).toMatchObject({
      tasks: 20_000,
      sampledTasks: 1000,
      differentRequests: 20_000,
      costUsd: null,
      unpricedModels: ["made-up"],
    });
    expect(data.promptTokens).toBeGreaterThan(20_000 * 8);
    expect(data.promptTokens).toBeLessThan(20_000 * 11);
  });
});

describe("follow-up work for the tasks of a batch", () => {
  test("is done at the next start if the process was killed before it", async () => {
    const dir = mkdtempSync(join(tmpdir(), "runner-"));
    mkdirSync(join(dir, "files"));
    writeFileSync(join(dir, "files", "in.csv"), csvOf(15_000));
    const env = { DATA_DIR: dir, SIMULATOR_LATENCY_MS: "0" };
    const progressOf = async (app: RunnerProcess) =>
      (await app.get("/batches/b?limit=1")).body.data;
    {
      await using app = await startProcess(env);
      await app.post("/batches", { id: "b", inputFile: "in.csv" });
      const cancelling = app.post("/batches/b/cancel").catch(() => undefined);
      const { progress } = await until(async () => {
        const data = await progressOf(app);
        return data.progress.cancelled > 0 ? data : undefined;
      });
      expect(progress.pending).toBeGreaterThan(0);
      await app.kill("SIGKILL");
      await cancelling;
    }
    {
      await using app = await startProcess(env);
      await until(async () => (await progressOf(app)).completedAt !== null || undefined);
      expect((await progressOf(app)).progress).toMatchObject({ cancelled: 15_000, pending: 0 });
      const retrying = app
        .post("/batches/b/retry", { statuses: ["cancelled"] })
        .catch(() => undefined);
      await until(async () => (await progressOf(app)).progress.completed > 0 || undefined);
      await app.kill("SIGKILL");
      await retrying;
    }
    await using app = await startProcess(env);
    const done = await until(async () => {
      const data = await progressOf(app);
      return data.status === "completed" ? data : undefined;
    }, 60_000);
    expect(done.progress).toMatchObject({ completed: 15_000, cancelled: 0 });
    expect((await app.get(`${app.url}/readyz?deep=1`)).status).toBe(200);
    await app.kill("SIGTERM");
    rmSync(dir, { recursive: true });
  });
});

import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

import { createClient } from "@libsql/client";
import { parse } from "csv-parse/sync";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate, hang, startProvider } from "../support/provider.ts";
import { client, until } from "../support/server.ts";

describe("starting", () => {
  test("prints the addresses, the first key and the provider", async () => {
    using folder = temporaryFolder();
    await using app = await startProcess({ DATA_DIR: folder.path, API_KEYS: "" });
    expect(app.output.stdout).toContain(`${app.url}/docs`);
    expect(app.output.stdout).toContain("built-in simulator");
    const key = /gtr_[0-9a-z]{40}/.exec(app.output.stdout)?.[0] ?? "";
    expect((await client(app.url ?? "", key).get("/tasks")).status).toBe(200);
    expect(await app.kill("SIGTERM")).toBe(0);

    await using again = await startProcess({ DATA_DIR: folder.path, API_KEYS: "" });
    expect(again.output.stdout).not.toContain("gtr_");
    expect((await client(again.url ?? "", key).get("/tasks")).status).toBe(200);
  });

  test("with a bad environment prints every problem and exits 1", async () => {
    await using app = await startProcess({
      PORT: "99999",
      MAX_CONCURRENCY: "many",
      OPENAI_BASE_URL: "localhost:11434",
      ROLE: "boss",
      SIMULATOR_FAILURE_RATE: "2",
      LOG_LEVEL: "",
    });
    expect(await app.exited()).toBe(1);
    expect(app.output.stderr.trim().split("\n")).toEqual([
      "The environment is not usable:",
      "  PORT: must be a whole number from 0 to 65535",
      "  OPENAI_BASE_URL: must be a URL that starts with http:, https:",
      "  MAX_CONCURRENCY: must be a whole number from 1 to 10000",
      "  ROLE: must be one of all, api, runner",
      "  SIMULATOR_FAILURE_RATE: must be a number from 0 to 1",
    ]);
  });

  test("that fails prints the reason in one sentence and exits 1", async () => {
    using folder = temporaryFolder();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    writeFileSync(join(folder.path, "not.db"), "this is a text, and a long one\n".repeat(300));
    mkdirSync(join(folder.path, "folder.db"));
    writeFileSync(join(folder.path, "file"), "");
    const cases: [Record<string, string>, string][] = [
      [{ PORT: String(port) }, `Port ${port} on 127.0.0.1 is in use`],
      [{ DATABASE_URL: `file:${folder.path}/not.db` }, "is not a database"],
      [{ DATABASE_URL: `file:${folder.path}/folder.db` }, "Cannot open the database"],
      [{ DATA_DIR: `${folder.path}/file/data` }, "Cannot create"],
      [{ DATA_DIR: "/proc/gpt-task-runner" }, "Cannot create"],
      [{ HOST: "203.0.113.1" }, "Cannot listen on 203.0.113.1"],
      [{ ROLE: "api" }, "ROLE=api needs a database that processes share"],
    ];
    for (const [env, message] of cases) {
      await using app = await startProcess({ DATA_DIR: join(folder.path, "data"), ...env });
      expect(await app.exited()).toBe(1);
      expect(app.output.stderr).toContain(message);
      expect(app.output.stderr.trim().split("\n")).toHaveLength(1);
    }
    taken.close();
  });

  test("is refused while another process has the database open, and works after a kill of that process", async () => {
    using folder = temporaryFolder();
    await using first = await startProcess({ DATA_DIR: folder.path });
    await using second = await startProcess({ DATA_DIR: folder.path });
    expect(await second.exited()).toBe(1);
    expect(second.output.stderr).toContain("Another GPT Task Runner is using");
    await first.kill("SIGKILL");
    await using third = await startProcess({ DATA_DIR: folder.path });
    expect(third.url).toBeDefined();
  });

  test("refuses a database of a newer version", async () => {
    using folder = temporaryFolder();
    await using first = await startProcess({ DATA_DIR: folder.path });
    await first.kill("SIGTERM");
    const db = createClient({ url: `file:${join(folder.path, "task-runner.db")}` });
    await db.execute(
      "INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('future', 9999999999999)",
    );
    await db.execute("UPDATE __beside SET since = 9999999999999");
    db.close();
    await using second = await startProcess({ DATA_DIR: folder.path });
    expect(await second.exited()).toBe(1);
    expect(second.output.stderr).toContain("newer version");
  });
});

describe("more concurrent calls than Bun's default limit", () => {
  test("are made where its start said so, as `bun run start` and the container do", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(hang);
    const setting = /BUN_CONFIG_MAX_HTTP_REQUESTS=(\d+)/;
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
    const [, most = ""] = setting.exec(scripts.start) ?? [];
    expect(setting.exec(readFileSync("Dockerfile", "utf8"))?.[1]).toBe(most);
    await using app = await startProcess({
      ...provider.env,
      DATA_DIR: folder.path,
      MAX_CONCURRENCY: "500",
      SHUTDOWN_GRACE_SECONDS: "0",
      BUN_CONFIG_MAX_HTTP_REQUESTS: most,
    });
    expect(app.output.stdout).not.toContain("MAX_CONCURRENCY");
    const tasks = Array.from({ length: 400 }, (_, i) => ({ prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => provider.state.open === 400 || undefined);
  });

  test("are reported as too many without that variable", async () => {
    using folder = temporaryFolder();
    await using app = await startProcess({ DATA_DIR: folder.path, MAX_CONCURRENCY: "500" });
    expect(app.output.stdout).toContain("MAX_CONCURRENCY is 500, but at most 256 calls are made");
  });
});

describe("stopping", () => {
  test("lets calls in flight finish, takes no new ones, and exits 0", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(() => Bun.sleep(400) as Promise<undefined>);
    await using app = await startProcess({
      DATA_DIR: folder.path,
      ...provider.env,
      MAX_CONCURRENCY: "4",
    });
    await app.post("/batches", {
      id: "b",
      tasks: Array.from({ length: 30 }, (_, i) => ({ prompt: `p${i}` })),
    });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length >= 3 || undefined);
    const inFlight = provider.requests.length;
    expect(await app.kill("SIGTERM")).toBe(0);
    expect(provider.requests).toHaveLength(inFlight);

    await using again = await startProcess({ DATA_DIR: folder.path, ...provider.env });
    const { progress } = (await again.get("/batches/b")).body.data;
    expect(progress.completed).toBeGreaterThanOrEqual(inFlight);
    await again.finished("b");
    expect(provider.requests).toHaveLength(30);
    expect((await again.get(`${again.url}/readyz?deep=1`)).status).toBe(200);
  });

  test("takes no new tasks while live calls finish", async () => {
    using folder = temporaryFolder();
    const live = gate();
    await using provider = await startProvider(async ({ prompt }) => {
      await (prompt === "live" ? live.opened : Bun.sleep(50));
      return undefined;
    });
    const env = { DATA_DIR: folder.path, ...provider.env, MAX_CONCURRENCY: "1" };
    await using app = await startProcess(env);
    const waiting = app.post(`${app.url}/v1/chat/completions`, {
      model: "gpt-4",
      messages: [{ role: "user", content: "live" }],
    });
    const tasks = Array.from({ length: 100 }, (_, i) => ({ prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length >= 3 || undefined);
    const ended = app.kill("SIGTERM");
    // The port is closed first.
    await until(() =>
      fetch(`${app.url}/healthz`).then(
        () => undefined,
        () => true,
      ),
    );
    const before = provider.requests.length;
    // Time enough for ten more calls.
    await Bun.sleep(500);
    live.open();
    expect([(await waiting).status, await ended]).toEqual([200, 0]);
    expect(provider.requests.length).toBeLessThanOrEqual(before + 1);
  });

  test("releases calls that do not finish in time, and they run after the next start", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    const env = { DATA_DIR: folder.path, ...provider.env, SHUTDOWN_GRACE_SECONDS: "0" };
    await using app = await startProcess(env);
    const waiting = app.post(
      "/tasks?execute=true",
      { id: "t", prompt: "x" },
      { prefer: "wait=60" },
    );
    await until(() => provider.requests.length === 1 || undefined);
    expect(await app.kill("SIGTERM")).toBe(0);
    // A client that waits gets the present state, and not a broken connection.
    const { status, body } = await waiting;
    expect([status, body.data.status]).toEqual([201, "pending"]);

    await using again = await startProcess(env);
    expect(await again.ended("t")).toMatchObject({ status: "completed", attempts: 2 });
    const [execution] = (await again.get("/tasks/t/executions")).body.data.executions;
    expect(execution.attempts.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      "interrupted",
      "completed",
    ]);
  });

  test("cuts off live calls that do not finish in time, and their key pays for what was sent", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(hang);
    const env = { DATA_DIR: folder.path, ...provider.env, SHUTDOWN_GRACE_SECONDS: "0" };
    await using app = await startProcess(env);
    const waiting = app.post(`${app.url}/v1/chat/completions`, {
      model: "gpt-4",
      messages: [{ role: "user", content: "x" }],
    });
    await until(() => provider.requests.length === 1 || undefined);
    expect(await app.kill("SIGTERM")).toBe(0);
    const { status, body } = await waiting;
    expect([status, body.error.message]).toEqual([503, "The server is shutting down"]);

    await using again = await startProcess(env);
    const [key] = (await again.get("/api-keys")).body.data.keys;
    expect(
      (await again.get(`/api-keys/${key.id}`)).body.data.usage.total.promptTokens,
    ).toBeGreaterThan(0);
  });

  test("does not wait for a bucket that does not answer, and the output file is written after the next start", async () => {
    using folder = temporaryFolder();
    const kept = new Map<string, string>();
    const state = { isSilent: true, hung: 0 };
    await using bucket = Object.assign(
      Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        idleTimeout: 0,
        async fetch(request) {
          const { pathname } = new URL(request.url);
          if (state.isSilent && pathname.endsWith(".csv")) {
            state.hung++;
            await hang();
          }
          if (request.method === "PUT") kept.set(pathname, await request.text());
          const text = kept.get(pathname);
          return new Response(text ?? "", { status: text === undefined ? 404 : 200 });
        },
      }),
      { [Symbol.asyncDispose]: () => bucket.stop(true) },
    );
    const env = {
      DATA_DIR: folder.path,
      FILES_URL: "s3://files",
      S3_ENDPOINT: `http://127.0.0.1:${bucket.port}`,
      S3_ACCESS_KEY_ID: "id",
      S3_SECRET_ACCESS_KEY: "secret",
      SHUTDOWN_GRACE_SECONDS: "1",
      SIMULATOR_LATENCY_MS: "0",
    };
    await using app = await startProcess(env);
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }], outputFile: "out.csv" });
    await app.post("/batches/b/execute");
    await until(() => state.hung > 0 || undefined);
    const begun = performance.now();
    expect(await app.kill("SIGTERM")).toBe(0);
    // A request to a bucket may take a minute.
    expect(performance.now() - begun).toBeLessThan(20_000);
    expect(app.output.stderr).not.toContain("CLOSED");

    state.isSilent = false;
    await using again = await startProcess(env);
    await until(async () => {
      const { output } = (await again.get("/batches/b")).body.data;
      return output?.status === "written" || undefined;
    });
    expect([...kept].find(([name]) => name.endsWith("/out.csv"))?.[1]).toContain("completed");
  });

  test("a second signal ends it at once, and nothing is lost", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    await using app = await startProcess({ DATA_DIR: folder.path, ...provider.env });
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.requests.length === 1 || undefined);
    app.child.kill("SIGINT");
    await Bun.sleep(600);
    expect(await app.kill("SIGINT")).toBe(1);
    await using again = await startProcess({ DATA_DIR: folder.path, ...provider.env });
    expect(await again.ended("t")).toMatchObject({ status: "completed" });
  });
});

describe("the demo", () => {
  test("answers all sixty tasks of the example and writes them to a file", async () => {
    using folder = temporaryFolder();
    const demo = Bun.spawn([process.execPath, join(import.meta.dir, "../../examples/demo.ts")], {
      cwd: folder.path,
      env: { PATH: process.env["PATH"] ?? "", TMPDIR: folder.path },
      stdout: "pipe",
      stderr: "pipe",
    });
    const text = await new Response(demo.stdout).text();
    expect(await demo.exited).toBe(0);
    expect(text).toContain("60/60 done, 0 running, 0 failed");
    expect(text).toMatch(
      /Tokens +\d+ \(\d+ in, \d+ out\)\n +Cost +nothing: the built-in simulator answered\n +Duration +\d/,
    );
    const rows = readRows(join(folder.path, "results.csv"));
    const asked = readRows("examples/tasks.csv");
    expect(rows).toHaveLength(60);
    expect(rows.map((row) => [row["id"], row["prompt"]])).toEqual(
      asked.map((row) => [row["id"], row["prompt"]]),
    );
    expect(rows.every((row) => row["status"] === "completed" && row["result"])).toBe(true);
  });
});

function readRows(path: string): Record<string, string>[] {
  return parse(readFileSync(path), { columns: true });
}

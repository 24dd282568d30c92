import { expect, test } from "bun:test";
import { existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { runCli } from "../support/cli.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { client } from "../support/server.ts";
import { deno } from "../support/tools.ts";

/** Changes a database while another process has it open. */
async function tamper(folder: string, sql: string): Promise<void> {
  const database = createLocalClient(join(folder, "task-runner.db"), 5000);
  await database.execute(sql);
  database.close();
}

test("the operator's commands work with a running server, and with its database when it is stopped", async () => {
  using folder = temporaryFolder();
  const env = { DATA_DIR: folder.path, API_KEYS: "" };
  const admin = (...args: string[]) => runCli(env, ["admin", ...args]);
  const tasks = Array.from({ length: 30 }, (_, i) => ({ prompt: `p${i}` }));
  await using app = await startProcess({ ...env, API_KEYS: "test-key", SIMULATOR_LATENCY_MS: "0" });
  await app.post("/batches", { id: "b", tasks });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await tamper(folder.path, "UPDATE batches SET completed = 11, running = 2 WHERE id = 'b'");
  const uploads = join(folder.path, "files", ".uploads");
  mkdirSync(uploads, { recursive: true });
  writeFileSync(join(uploads, "file-0stray"), "x");
  utimesSync(join(uploads, "file-0stray"), 1, 1);

  const [key, found, stray, vacuum, prune, nodes] = await Promise.all([
    admin("key", "--scope", "read", "--days", "1", "--json"),
    admin("check", "--json"),
    admin("files"),
    admin("vacuum"),
    admin("prune", "--json"),
    admin("nodes", "--json"),
  ]);
  const reader = client(app.url ?? "", key.json.key);
  expect((await reader.get("/batches/b")).status).toBe(200);
  expect((await reader.post("/tasks", { prompt: "x" })).status).toBe(403);
  expect((await app.get(`/audit?target=${key.json.id}`)).body.data.entries).toMatchObject([
    { keyId: "command-line", action: "api-keys.create" },
  ]);
  expect([found.code, found.json.counters]).toEqual([
    1,
    [
      { batchId: "b", counter: "completed", stored: 11, counted: 30 },
      { batchId: "b", counter: "running", stored: 2, counted: 0 },
    ],
  ]);
  expect([stray.code, stray.out]).toEqual([
    1,
    expect.stringContaining(".uploads/file-0stray is an upload"),
  ]);
  expect([vacuum.code, vacuum.err]).toEqual([7, expect.stringContaining("A server is running on")]);
  expect([prune.code, JSON.parse(prune.err).error.message]).toEqual([
    7,
    expect.stringContaining("A server is running on"),
  ]);
  expect(nodes.json.nodes).toMatchObject([{ node: 1, isLiving: true, runsTasks: true }]);

  const [repaired, removed] = await Promise.all([
    admin("check", "--repair"),
    admin("files", "--remove"),
  ]);
  expect([repaired.code, repaired.out]).toEqual([
    0,
    expect.stringContaining("All of these were corrected"),
  ]);
  expect([removed.code, existsSync(join(uploads, "file-0stray"))]).toEqual([0, false]);
  expect((await app.get(`${app.url}/readyz?deep=1`)).status).toBe(200);
  await app.kill("SIGKILL");

  // There is no key any more, and a server that other machines can reach creates none.
  await tamper(folder.path, "UPDATE api_keys SET revoked_at = 1");
  const others = { ...env, HOST: "0.0.0.0" };
  await using locked = await startProcess(others);
  expect([await locked.exited(), locked.output.stderr]).toEqual([
    1,
    expect.stringContaining("admin key"),
  ]);
  const [, secret = ""] = /(gtr_\w+)/.exec((await admin("key")).out) ?? [];
  await using open = await startProcess(others);
  const port = /:(\d+)/.exec(open.url ?? "")?.[1];
  expect((await client(`http://127.0.0.1:${port}`, secret).get("/api-keys")).status).toBe(200);
  await open.kill("SIGTERM");

  await tamper(folder.path, "UPDATE batches SET completed_at = 1 WHERE id = 'b'");
  const [pruned] = [await admin("prune", "--tasks", "1", "--json")];
  expect([pruned.code, pruned.json.removed > 0]).toEqual([0, true]);
  expect((await admin("vacuum", "--json")).json.bytes).toBeGreaterThan(100_000);
  const last = await runCli(
    env,
    ["admin", "check"],
    deno === undefined ? undefined : [deno, "run", "-A", "src/cli/main.ts"],
  );
  expect([last.code, last.out]).toEqual([0, expect.stringContaining("The database is sound")]);
}, 60_000);

test("a wrong command lists the commands, and does nothing", async () => {
  using folder = temporaryFolder();
  const env = { DATA_DIR: join(folder.path, "none") };
  const [help, option, days, nothing, variable] = await Promise.all([
    runCli(env, ["admin", "--help"]),
    runCli(env, ["admin", "vacuum", "--froce"]),
    runCli(env, ["admin", "key", "--days", "1.5"]),
    runCli(env, ["admin", "check", "--json"]),
    runCli({ ...env, PORT: "x" }, ["admin", "check"]),
  ]);
  expect([help.code, help.out]).toEqual([0, expect.stringContaining("Exit codes: 0 done")]);
  expect([option.code, option.err]).toEqual([
    2,
    expect.stringContaining("unknown option '--froce'"),
  ]);
  expect([days.code, days.err]).toEqual([2, expect.stringContaining("whole number from 1")]);
  expect([nothing.code, JSON.parse(nothing.err).error.message]).toEqual([
    1,
    expect.stringContaining("There is no database at"),
  ]);
  expect([variable.code, variable.err]).toEqual([2, expect.stringContaining("PORT: must be")]);
  expect(existsSync(env.DATA_DIR)).toBe(false);
});

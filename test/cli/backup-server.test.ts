import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { checkBooks } from "../../src/services/books.ts";
import { takeLease } from "../../src/store/leases.ts";
import { restore, saidOf } from "../support/backup.ts";
import { runCli, startCli } from "../support/cli.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { slowAndStuck, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

describe.if(sqld !== undefined)("a backup of a database on a libSQL server", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let one: Awaited<ReturnType<typeof startSqld>>;
  let other: Awaited<ReturnType<typeof startSqld>>;
  const at = (name: string) => join(folder.path, name);
  const from = () => ({ DATABASE_URL: one.url, DATA_DIR: at("one") });
  const to = () => ({ DATABASE_URL: other.url, DATA_DIR: at("other") });

  beforeAll(async () => {
    folder = temporaryFolder();
    [one, other] = await Promise.all([startSqld(at("sqld-one")), startSqld(at("sqld-other"))]);
  });
  afterAll(async () => {
    await one?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });

  test("is of one moment although tasks continue to end, and can be restored to a server or a file", async () => {
    await using provider = await startProvider(slowAndStuck(300));
    const env = { ...provider.env, ...from(), SIMULATOR_LATENCY_MS: "0", MAX_CONCURRENCY: "4" };
    await using app = await startServer(env);
    // More than a server returns in one answer.
    for (let i = 0; i < 13; i++) {
      const created = await app.post("/tasks", { id: `l${i}`, prompt: "é".repeat(450_000) });
      expect(created.status).toBe(201);
    }
    const tasks = Array.from({ length: 600 }, (_, i) => ({ id: `t${i}`, prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length > 50 || undefined);
    const made = await runCli(from(), ["backup", at("backup"), "--json"]);
    expect([made.code, made.err]).toEqual([0, ""]);
    await app.post("/batches/b/pause");

    // Killed while the rows are written. No server accepts such a database, and another restore waits for it.
    const killed = startCli(to(), ["restore", at("backup")]);
    const database = createClient({ url: other.url });
    const tables = "SELECT 1 FROM sqlite_master WHERE name = 'task_inputs'";
    await until(async () => (await database.execute(tables)).rows.length > 0 || undefined);
    killed.kill("SIGKILL");
    await killed.exited;
    await using early = await startProcess(to());
    expect([await early.exited(), early.output.stderr]).toEqual([
      1,
      expect.stringContaining("A restore of"),
    ]);
    expect(await saidOf(restore(to(), at("backup")))).toMatch(/^refused: .* was killed/);
    await database.execute("UPDATE __restoring SET at = 0");
    const restored = await runCli(to(), ["restore", at("backup"), "--json"]);
    expect([restored.code, restored.json?.goesOn]).toMatchObject([0, { batches: 1 }]);
    expect(await saidOf(restore(to(), at("backup")))).toMatch(/^refused: .* holds tables already/);
    expect(await schemaOf(other.url)).toEqual(await schemaOf(one.url));

    const before = new Set(provider.requests.map(({ prompt }) => prompt));
    await using after = await startProvider();
    await using next = await startServer({ ...env, ...after.env, ...to(), MAX_CONCURRENCY: "64" });
    expect(await next.finished("b")).toMatchObject({ progress: { total: 600, completed: 600 } });
    expect(after.requests.length).toBeGreaterThan(0);
    expect(after.requests.length + before.size).toBeGreaterThanOrEqual(600);
    expect((await next.get("/tasks/l12")).body.data.prompt).toBe("é".repeat(450_000));
    expect(await checkBooks(next.ctx)).toEqual({ counters: [], sums: [] });

    await restore({ DATA_DIR: at("file") }, at("backup"));
    await using inFile = await startServer({ ...after.env, DATA_DIR: at("file"), ROLE: "all" });
    expect(await inFile.finished("b")).toMatchObject({ progress: { completed: 600 } });
    expect(await checkBooks(inFile.ctx)).toEqual({ counters: [], sums: [] });
  });

  test("and admin prune, which removes only old data, work beside running servers", async () => {
    await using app = await startServer({ ...from(), SIMULATOR_LATENCY_MS: "0" });
    for (const id of ["old", "new", "waits"])
      await app.post("/batches", { id, tasks: [{ prompt: "x" }, { prompt: "y" }] });
    for (const id of ["old", "new"]) {
      await app.post(`/batches/${id}/execute`);
      await app.finished(id);
    }
    const monthAgo = Date.now() - 31 * 86_400_000;
    const database = createClient({ url: one.url });
    const age =
      "UPDATE batches SET created_at = ?, completed_at = iif(completed_at IS NULL, NULL, ?)";
    await database.execute({
      sql: `${age} WHERE id IN ('old', 'waits')`,
      args: [monthAgo, monthAgo],
    });
    const [pruned] = await Promise.all([
      runCli(from(), ["admin", "prune", "--tasks", "30"]),
      app.post("/tasks?execute=true", { id: "meanwhile", prompt: "z" }, { prefer: "wait=30" }),
    ]);
    expect([pruned.code, pruned.err]).toEqual([0, ""]);
    expect(pruned.out).toMatch(/^Removed [1-9].* `backup`, and `restore` into a new database/);
    const statuses = ["old", "new", "waits"].map(
      async (id) => (await app.get(`/batches/${id}`)).status,
    );
    expect(await Promise.all(statuses)).toEqual([404, 200, 200]);
    expect((await app.get("/tasks/meanwhile")).body.data.status).toBe("completed");
    await app.post("/batches/waits/execute");
    expect(await app.finished("waits")).toMatchObject({ progress: { completed: 2 } });
    expect(await checkBooks(app.ctx)).toEqual({ counters: [], sums: [] });
  });

  test("and the operator's commands respect the running processes", async () => {
    await using app = await startServer({ ...from(), LEASE_SECONDS: "30" });
    await app.ctx.writer.write({ lease: takeLease("repair", "repair-other", 60_000) });
    const [nodes, vacuum, key, check] = await Promise.all(
      [["nodes"], ["vacuum"], ["key"], ["check"]].map((args) =>
        runCli({ ...from(), LEASE_SECONDS: "1" }, ["admin", ...args, "--json"]),
      ),
    );
    expect(nodes?.json.nodes).toContainEqual(
      expect.objectContaining({ isLiving: true, runsTasks: true }),
    );
    expect(nodes?.json.leases).toContainEqual(
      expect.objectContaining({ name: "repair", holder: "repair-other" }),
    );
    expect([vacuum?.code, vacuum?.err]).toEqual([7, expect.stringContaining("takes no VACUUM")]);
    const answer = await app.get("/api-keys", { authorization: `Bearer ${key?.json.key}` });
    expect(answer.status).toBe(200);
    expect(check?.json).toMatchObject({ isSound: true, counters: [], sums: [] });
  });
});

async function schemaOf(url: string): Promise<Json> {
  const { rows } = await createClient({ url }).execute(
    "SELECT type, name, sql FROM sqlite_master WHERE name NOT GLOB '_litestream*' ORDER BY type, name",
  );
  return rows.map((row) => Array.from(row as unknown as Json[]));
}

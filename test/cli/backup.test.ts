import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { runCli, startCli } from "../support/cli.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { slowAndStuck, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

/** The first column of the rows that a statement finds in a database. */
async function readDatabase(path: string, sql: string): Promise<string[]> {
  const client = createLocalClient(path, 5000);
  const { rows } = await client.execute(sql);
  client.close();
  return rows.map((row) => String(row[0]));
}

test("a backup under load, restored after kill -9, has every acknowledged result and repeats none", async () => {
  using folder = temporaryFolder();
  const [first, second] = ["a", "b"].map((name) => join(folder.path, name)) as [string, string];
  const target = join(folder.path, "backup");
  await using provider = await startProvider(slowAndStuck(400));
  const env = { ...provider.env, MAX_CONCURRENCY: "8" };
  const tasks = Array.from({ length: 600 }, (_, i) => ({ id: `t${i}`, prompt: `p${i}` }));
  const acknowledged = new Set<string>();
  {
    await using app = await startProcess({ ...env, DATA_DIR: first });
    const form = new FormData();
    form.append("file", new Blob(["prompt\nhello\n"]), "in.csv");
    const upload = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: "Bearer test-key" },
      body: form,
    });
    expect(upload.status).toBe(201);
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(async () => {
      const { body } = await app.get("/tasks?status=completed&limit=100");
      for (const { id } of body.data.tasks) acknowledged.add(id);
      return acknowledged.size >= 60 || undefined;
    });
    const made = await runCli({ DATA_DIR: first }, ["backup", target, "--json"]);
    expect([made.code, made.err]).toEqual([0, ""]);
    expect(made.json).toMatchObject({ files: 1, skipped: [], missingUploads: [] });
    await app.kill("SIGKILL");
  }
  const settled = await readDatabase(
    join(target, "database.db"),
    "SELECT id FROM tasks WHERE status = 'completed'",
  );
  expect([...acknowledged].filter((id) => !settled.includes(id))).toEqual([]);
  expect(settled.length).toBeLessThan(600);

  const restored = await runCli({ DATA_DIR: second }, ["restore", target, "--json"]);
  expect([restored.code, restored.json.goesOn.batches]).toEqual([0, 1]);
  await using after = await startProvider();
  await using app = await startProcess({ ...env, ...after.env, DATA_DIR: second });
  expect(await app.finished("b")).toMatchObject({ progress: { total: 600, completed: 600 } });
  const again = new Set(after.requests.map(({ prompt }) => `t${prompt.slice(1)}`));
  expect(settled.filter((id) => again.has(id))).toEqual([]);
  expect(again.size + settled.length).toBe(600);
  expect((await app.get(`${app.url}/readyz?deep=1`)).status).toBe(200);
  const { body } = await app.get("/files");
  const [file] = body.data.files;
  const content = await fetch(`${app.url}/api/v1/files/${file.id}/content`, {
    headers: { authorization: "Bearer test-key" },
  });
  expect(await content.text()).toBe("prompt\nhello\n");
  // Ids that were used after the backup are lost, and never used again.
  await using stream = await follow(app.url ?? "", "/events", {
    headers: { "last-event-id": "900000" },
  });
  await until(() => stream.reported.length > 0 || undefined);
  expect(stream.reported[0]).toMatchObject({
    event: "gap",
    data: { data: { reason: "restored" } },
  });
}, 60_000);

test("a killed backup or restore leaves nothing that looks complete, and the next one starts again", async () => {
  using folder = temporaryFolder();
  const [first, second] = ["a", "b"].map((name) => join(folder.path, name)) as [string, string];
  const target = join(folder.path, "backup");
  {
    await using app = await startServer({ DATA_DIR: first });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  }
  const large = join(first, "files", "reports", "large.csv");
  mkdirSync(join(first, "files", "reports"));
  writeFileSync(large, "");
  truncateSync(large, 60_000_000);
  {
    const child = startCli({ DATA_DIR: first }, ["backup", target]);
    await until(() => existsSync(`${target}.partial/files/reports/large.csv`) || undefined);
    child.kill("SIGKILL");
    await child.exited;
  }
  expect([existsSync(target), existsSync(`${target}.partial`)]).toEqual([false, true]);
  const partly = await runCli({ DATA_DIR: second }, ["restore", `${target}.partial`]);
  expect([partly.code, partly.err]).toEqual([1, expect.stringContaining("is not a backup")]);

  expect((await runCli({ DATA_DIR: first }, ["backup", target])).code).toBe(0);
  expect(readdirSync(folder.path).toSorted()).toEqual(
    ["a", "b", "backup"].filter((name) => existsSync(join(folder.path, name))),
  );
  expect(readdirSync(target).toSorted()).toEqual(["database.db", "files", "manifest.json"]);
  expect(statSync(join(target, "database.db")).mode & 0o777).toBe(0o600);

  {
    const child = startCli({ DATA_DIR: second }, ["restore", target]);
    await until(() => existsSync(join(second, "task-runner.db.restoring")) || undefined);
    child.kill("SIGKILL");
    await child.exited;
  }
  expect(existsSync(join(second, "task-runner.db"))).toBe(false);
  await using early = await startProcess({ DATA_DIR: second });
  expect(await early.exited()).toBe(1);
  expect(early.output.stderr).toContain("A restore of");
  expect((await runCli({ DATA_DIR: second }, ["backup", join(folder.path, "c")])).err).toContain(
    "A restore of",
  );
  expect((await runCli({ DATA_DIR: second }, ["restore", target])).code).toBe(0);
  await using app = await startProcess({ DATA_DIR: second });
  expect((await app.get("/batches/b")).status).toBe(200);
  const left = readdirSync(second, { recursive: true }).map(String);
  expect(left.filter((name) => /tmp|restor/.test(name))).toEqual([]);
  expect(statSync(join(second, "files/reports/large.csv")).size).toBe(60_000_000);
}, 60_000);

import { expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { backup, restore, saidOf } from "../support/backup.ts";
import { temporaryFolder } from "../support/process.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";

function write(folder: string, name: string, text: string): void {
  mkdirSync(join(folder, "files", "sub"), { recursive: true });
  writeFileSync(join(folder, "files", "sub", name), text);
}

async function makeFirst(folder: string): Promise<TestServer> {
  const app = await startServer({ DATA_DIR: folder });
  write(folder, "in.csv", "prompt\nx\n");
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  return app;
}

test("with a bucket, a backup has the database, and says that the bucket is not in it", async () => {
  using folder = temporaryFolder();
  const [first, target] = [join(folder.path, "a"), join(folder.path, "backup")];
  await using app = await startServer({ DATA_DIR: first });
  const body = new FormData();
  body.append("file", new Blob(["prompt\nx\n"]), "in.csv");
  const headers = { authorization: `Bearer ${KEY}` };
  await fetch(`${app.url}/api/v1/files`, { method: "POST", headers, body });
  rmSync(join(first, "files", ".uploads"), { recursive: true });
  const bucket = {
    FILES_URL: "s3://files/some/where",
    S3_ENDPOINT: "http://127.0.0.1:1",
    S3_ACCESS_KEY_ID: "id",
    S3_SECRET_ACCESS_KEY: "secret",
  };
  expect(await backup({ DATA_DIR: first, ...bucket }, target)).toMatchObject({
    bucket: "s3://files/some/where/",
    files: [],
    missingUploads: [],
  });
  const manifest = JSON.parse(readFileSync(join(target, "manifest.json"), "utf8"));
  expect(manifest.bucket).toBe("s3://files/some/where/");
  expect(JSON.stringify(manifest)).not.toContain("secret");
  // The same without the bucket lacks the bytes of the upload.
  const without = await backup({ DATA_DIR: first }, join(folder.path, "other"));
  expect([without.bucket, without.missingUploads.length]).toEqual([null, 1]);
});

test("a restore refuses existing files and damaged backups, and changes nothing", async () => {
  using folder = temporaryFolder();
  const [first, second, target] = ["a", "b", "backup"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  const app = await makeFirst(first);
  expect(await backup({ DATA_DIR: first }, target)).toMatchObject({
    files: [{ path: "sub/in.csv", bytes: 9 }],
  });
  expect(await saidOf(backup({ DATA_DIR: first }, target))).toMatch(
    /^refused: .* exists and is not empty/,
  );
  const inside = join(first, "files", "backup");
  expect(await saidOf(backup({ DATA_DIR: first }, inside))).toMatch(
    /^refused: .* lies in the files folder/,
  );

  const foreign = join(folder.path, "other.partial");
  mkdirSync(foreign);
  writeFileSync(join(foreign, "mine.txt"), "");
  const intoOther = backup({ DATA_DIR: first }, join(folder.path, "other"));
  expect(await saidOf(intoOther)).toMatch(/^refused: .*other\.partial has mine\.txt/);

  expect(await saidOf(restore({ DATA_DIR: first }, target))).toMatch(
    /^refused: Another GPT Task Runner/,
  );
  await app.stop();
  expect(await saidOf(restore({ DATA_DIR: first }, target))).toMatch(
    /^refused: There is a database already/,
  );

  write(second, "in.csv", "prompt\ny\n");
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toMatch(
    /^refused: .* under the names of sub\/in.csv/,
  );
  writeFileSync(join(second, "task-runner.db-wal"), "of another database");
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain("task-runner.db-wal");
  rmSync(join(second, "task-runner.db-wal"));

  const manifest = join(target, "manifest.json");
  const copy = join(target, "files", "sub", "in.csv");
  const text = readFileSync(manifest, "utf8");
  writeFileSync(manifest, text.replace("sub/in.csv", "../../out.csv"));
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain(
    "leads out of the files folder",
  );
  writeFileSync(manifest, text.replace('"format": 1', '"format": 2'));
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain("format 1");
  writeFileSync(manifest, text);
  appendFileSync(copy, "z\n");
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain(
    "in.csv has 11 bytes instead of 9",
  );
  writeFileSync(copy, "prompt\nz\n");
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain("in.csv has other bytes");
  renameSync(join(target, "database.db"), join(target, "moved"));
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain("database.db is missing");
  expect(existsSync(join(second, "task-runner.db"))).toBe(false);
  expect(existsSync(join(second, "task-runner.db.restoring"))).toBe(false);

  renameSync(join(target, "moved"), join(target, "database.db"));
  writeFileSync(copy, "prompt\nx\n");
  write(second, "in.csv", "prompt\nx\n");
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toBe("it was done");
});

test("a backup leaves out links, incomplete files, the folder's id, and a database inside the files folder", async () => {
  using folder = temporaryFolder();
  const [first, second, target] = ["a", "b", "backup"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  const env = { DATA_DIR: first, FILES_DIR: first };
  await using app = await startServer(env);
  await app.post("/tasks", { prompt: "x" });
  writeFileSync(join(first, "in.csv"), "prompt\nx\n");
  writeFileSync(join(first, ".out.csv.abc-def.tmp"), "half");
  symlinkSync("/etc", join(first, "etc"));
  // A server that shares its database has given an id to each of the two folders.
  for (const files of [first, join(second, "files")]) {
    mkdirSync(join(files, ".uploads"), { recursive: true });
    writeFileSync(join(files, ".uploads/store-id"), `store-of-${files}`);
  }
  const made = await backup(env, target);
  expect(made.files.map(({ path }) => path)).toEqual(["in.csv"]);
  expect(made.skipped).toEqual([{ path: "etc", why: "is a link" }]);
  await restore({ DATA_DIR: second }, target);
  expect(readFileSync(join(second, "files", "in.csv"), "utf8")).toBe("prompt\nx\n");
});

test("a backup leaves out a file that is written to all the time, also if that began after its first copy", async () => {
  using folder = temporaryFolder();
  const [first, second, target] = ["a", "b", "backup"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await using app = await makeFirst(first);
  const busy = join(app.filesDir, "busy.csv");
  writeFileSync(busy, Buffer.alloc(1_000_000));
  let writing: NodeJS.Timeout | undefined;
  const made = await backup({ DATA_DIR: first }, target, () => {
    appendFileSync(busy, "x");
    writing = setInterval(() => appendFileSync(busy, "x"), 0);
  }).finally(() => clearInterval(writing));
  expect(made.files.map(({ path }) => path)).toEqual(["sub/in.csv"]);
  expect(made.skipped).toEqual([{ path: "busy.csv", why: "was written to all the time" }]);
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toBe("it was done");
});

test("no backup is made of a damaged database, and one of a newer version is not restored", async () => {
  using folder = temporaryFolder();
  const [first, second, target] = ["a", "b", "backup"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  await (await startServer({ DATA_DIR: first })).stop();
  const database = createLocalClient(join(first, "task-runner.db"), 5000);
  await database.executeMultiple(
    `CREATE TABLE wrong (v CHECK (v > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO wrong VALUES (0)`,
  );
  expect(await saidOf(backup({ DATA_DIR: first }, target))).toContain(
    "The copy of the database is damaged, so there is no backup: CHECK constraint failed in wrong",
  );
  expect(readdirSync(folder.path)).toEqual(["a"]);

  await database.executeMultiple(
    `DROP TABLE wrong; INSERT INTO __drizzle_migrations (hash, created_at) VALUES ('future', 9999999999999);
     UPDATE __beside SET since = 9999999999999`,
  );
  database.close();
  await backup({ DATA_DIR: first }, target);
  expect(await saidOf(restore({ DATA_DIR: second }, target))).toContain(
    "The backup is of a newer version",
  );
  expect(existsSync(second)).toBe(false);
});

test("with --pause no repeated work continues until a person resumes it", async () => {
  using folder = temporaryFolder();
  const [first, second, target] = ["a", "b", "backup"].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  {
    await using app = await startServer({ DATA_DIR: first, SIMULATOR_LATENCY_MS: "600000" });
    write(first, "in.csv", "prompt\nx\n");
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }, { prompt: "y" }] });
    await app.post("/batches/b/execute");
    const schedule = { name: "s", inputFile: "sub/in.csv", schedule: "0 0 1 1 *" };
    await app.post("/scheduled-tasks", schedule);
    await app.post("/webhooks", { url: "https://example.com/hook", events: ["*"] });
    await backup({ DATA_DIR: first }, target);
  }
  const { goesOn } = await restore({ DATA_DIR: second }, target, true);
  expect(goesOn).toMatchObject({
    batches: expect.any(Number),
    schedules: 1,
    webhooks: 1,
    singles: 0,
  });
  await using app = await startServer({ DATA_DIR: second });
  const { body } = await app.get("/batches/b");
  expect(body.data).toMatchObject({ status: "paused", pauseReason: { code: "restored" } });
  expect((await app.get("/scheduled-tasks")).text).toContain('"isActive":false');
  expect((await app.get("/webhooks")).text).toContain("restored with --pause");
  await app.post("/batches/b/resume");
  expect(await app.finished("b")).toMatchObject({ progress: { completed: 2 } });
  expect(await app.differences()).toEqual([]);
});

// Gives zod schemas their `openapi` method, before any is made.
import "@hono/zod-openapi";
import { expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { FileStore } from "../../src/lib/file-store.ts";
import { StorageError } from "../../src/lib/s3/storage-error.ts";
import { getBatch } from "../../src/services/batches.ts";
import { removeLooseFiles } from "../../src/services/loose-files.ts";
import { writeOutputs } from "../../src/services/outputs.ts";
import { writtenBy } from "../../src/services/written-by.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

async function upload(app: TestServer) {
  const form = new FormData();
  form.append("file", new File(["prompt\nx\n"], "in.csv"));
  const headers = { authorization: `Bearer ${KEY}` };
  const response = await fetch(`${app.url}/api/v1/files`, { method: "POST", body: form, headers });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const uploads = (app: TestServer) => readdirSync(join(app.filesDir, ".uploads"));
const loose = async (app: TestServer) =>
  (await app.ctx.client.execute("SELECT id FROM loose_files")).rows.length;

function change(app: TestServer, changes: Partial<FileStore>): () => void {
  const { fileStore } = app.ctx;
  app.ctx.fileStore = { ...fileStore, ...changes };
  return () => Object.assign(app.ctx, { fileStore });
}

test("files that cannot be removed with their row are removed later", async () => {
  await using app = await startServer();
  const { id } = (await upload(app)).body.data;
  const mend = change(app, {
    remove: async () => {
      throw new StorageError("it is away", { isPassing: true });
    },
  });
  expect((await app.del(`/files/${id}`)).status).toBe(200);
  expect((await app.get(`/files/${id}`)).status).toBe(404);
  expect([uploads(app), await loose(app)]).toEqual([[id], 1]);
  mend();
  await removeLooseFiles(app.ctx);
  expect([uploads(app), await loose(app)]).toEqual([[], 0]);
});

test("the output of a batch that is being deleted is not written, and holds up no other", async () => {
  await using app = await startServer();
  const tasks = [{ prompt: "x" }];
  await app.post("/batches", { id: "b", outputFile: "out.csv", tasks });
  await app.post("/batches/b/execute");
  await until(async () => (await getBatch(app.ctx, "b")).outputStatus === "written" || undefined);
  await app.ctx.client.execute(
    "UPDATE batches SET id = '~draft', status = 'ingesting', output_status = 'pending' WHERE id = 'b'",
  );
  await writeOutputs(app.ctx, app.ctx.live.node);
  const { rows } = await app.ctx.client.execute(
    "SELECT output_status AS status FROM batches WHERE id = '~draft'",
  );
  expect(rows.map(({ status }) => status)).toEqual(["pending"]);
});

test("the output of a batch that is deleted while it is written is not put in place", async () => {
  await using app = await startServer();
  const tasks = [{ prompt: "x" }, { prompt: "y" }];
  await app.post("/batches", { id: "b", outputFile: "out.csv", tasks });
  const { fileStore } = app.ctx;
  const writes: Promise<unknown>[] = [];
  const mend = change(app, {
    write(name, by, pieces) {
      async function* deleted() {
        await app.del("/batches/b");
        yield* pieces;
      }
      const written = fileStore.write(name, by, deleted());
      writes.push(written.catch((error: Error) => error.message));
      return written;
    },
  });
  await app.post("/batches/b/execute");
  await until(() => writes.length > 0 || undefined);
  expect(await writes[0]).toMatch("have changed while they were read");
  expect(existsSync(join(app.filesDir, "out.csv"))).toBe(false);
  mend();
});

test("an upload whose process was declared dead is refused, and one in progress is left alone", async () => {
  await using app = await startServer();
  const { fileStore } = app.ctx;
  let meddle: () => Promise<unknown> = () => removeLooseFiles(app.ctx);
  change(app, {
    async write(...args) {
      await fileStore.write(...args);
      await meddle();
    },
  });
  expect((await upload(app)).status).toBe(201);
  meddle = () => app.ctx.client.execute("UPDATE loose_files SET node = NULL");
  const { status, body } = await upload(app);
  expect([status, body.error.code]).toEqual([503, "SERVICE_UNAVAILABLE"]);
  await removeLooseFiles(app.ctx);
  expect([uploads(app).length, await loose(app)]).toEqual([1, 0]);
  expect((await app.get("/files")).body.data.files).toHaveLength(1);
});

test("files without a row from an earlier process are removed at the next start", async () => {
  await using app = await startServer();
  await upload(app);
  await app.ctx.client.execute("INSERT INTO loose_files (id, node) VALUES ('file-left', 999)");
  writeFileSync(join(app.filesDir, ".uploads", "file-left"), "x");
  await removeLooseFiles(app.ctx);
  expect([uploads(app).length, await loose(app)]).toEqual([1, 0]);
});

test("a full disk is a 503 for an upload, the reason of an output, and leaves nothing of either", async () => {
  await using app = await startServer();
  const { create } = app.ctx.files;
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC", syscall: "write" });
  app.ctx.files.create = async (path) => {
    const file = await create(path);
    return { ...file, write: () => Promise.reject(full) };
  };
  const { status, body } = await upload(app);
  expect([status, body.error.code]).toEqual([503, "SERVICE_UNAVAILABLE"]);
  expect(body.error.message).toContain("the disk is full");
  await app.post("/batches", { id: "b", outputFile: "out.csv", tasks: [{ prompt: "x" }] });
  await app.post("/batches/b/execute");
  const output = async () => (await app.get("/batches/b")).body.data.output;
  await until(async () => (await output())?.status === "failed" || undefined);
  expect((await output()).error).toContain("the disk is full");
  app.ctx.files.create = create;
  await app.post("/batches/b/output");
  await until(async () => (await output())?.status === "written" || undefined);
  const files = readdirSync(app.filesDir, { recursive: true }).map(String);
  expect(files.filter((name) => name.endsWith(".tmp"))).toEqual([]);
});

test("what a killed process has written of an output is removed when the file is written again", async () => {
  await using app = await startServer();
  await app.post("/batches", { id: "b", outputFile: "out.csv", tasks: [{ prompt: "x" }] });
  const { seq } = await getBatch(app.ctx, "b");
  const { owner } = writtenBy(app.ctx, `output ${seq}`);
  const left = [`.out.csv.${owner}-killed.tmp`, ".out.csv.another-one.tmp"];
  for (const name of left) writeFileSync(join(app.filesDir, name), "half");
  await app.post("/batches/b/execute");
  await app.finished("b");
  await until(
    async () => (await app.get("/batches/b")).body.data.output?.status === "written" || undefined,
  );
  await app.ctx.client.execute(
    "UPDATE batches SET output_status = 'writing', output_owner = 999 WHERE id = 'b'",
  );
  await writeOutputs(app.ctx, app.ctx.live.node);
  const there = readdirSync(app.filesDir);
  expect(left.map((name) => there.includes(name))).toEqual([false, true]);
});

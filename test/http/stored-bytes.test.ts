import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { client, KEY, startServer, type TestServer } from "../support/server.ts";

async function upload(app: TestServer, text: string, key = KEY) {
  const form = new FormData();
  form.append("file", new Blob([text]), "a.csv");
  const answer = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: form,
  });
  return { status: answer.status, body: await answer.json() };
}

/** The counted bytes, beside the real ones. */
async function counted(app: TestServer) {
  const { rows } = await app.ctx.client.execute(`
    SELECT sum(files) AS files, sum(requests) AS requests,
           (SELECT coalesce(sum(bytes), 0) FROM files) AS uploads,
           (SELECT coalesce(sum(octet_length(body) + coalesce(octet_length(prompt), 0)
              + coalesce(octet_length(metadata), 0) + coalesce(octet_length(cells), 0)), 0)
            FROM task_inputs) AS inputs FROM stored_bytes`);
  const [row] = rows;
  return {
    counted: [row?.["files"], row?.["requests"]],
    there: [row?.["uploads"], row?.["inputs"]],
  };
}

async function expectTrueCounts(app: TestServer) {
  const { counted: known, there } = await counted(app);
  expect(known).toEqual(there);
}

const long = "x".repeat(1000);

test("uploads stay within the limits of a key and of the server, however many arrive at once", async () => {
  await using app = await startServer({
    MAX_STORED_BYTES: "5000",
    MAX_STORED_BYTES_PER_KEY: "3000",
  });
  const other = (await app.post("/api-keys", { name: "k" })).body.data.key;
  const first = await Promise.all(Array.from({ length: 4 }, () => upload(app, long.repeat(2))));
  expect(first.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409]);
  const refused = first.find(({ status }) => status === 409)?.body.error;
  expect([refused.code, /\(MAX_STORED_BYTES_PER_KEY\)/.test(refused.message)]).toEqual([
    "LIMIT_REACHED",
    true,
  ]);
  expect(readdirSync(join(app.filesDir, ".uploads"))).toHaveLength(1);
  expect((await upload(app, long.repeat(3).slice(100), other)).status).toBe(201);
  const all = await upload(app, long);
  expect(all.body.error.message).toContain("(MAX_STORED_BYTES)");
  const [file] = (await client(app.url).get("/files?order=asc")).body.data.files;
  await app.del(`/files/${file.id}`);
  expect((await upload(app, long)).status).toBe(201);
  await expectTrueCounts(app);
});

test("requests of tasks count as well: single tasks, batches from any source, and their later changes", async () => {
  await using app = await startServer({ MAX_STORED_BYTES_PER_KEY: "10000" });
  const tasks = Array.from({ length: 3 }, (_, i) => ({ id: `b${i}`, prompt: long }));
  expect((await app.post("/tasks", { id: "t", prompt: long })).status).toBe(201);
  expect((await app.post("/batches", { id: "b", tasks })).status).toBe(201);
  const tooMuch = [
    app.post("/batches", {
      id: "c",
      tasks: tasks.map(({ prompt }) => ({ prompt: prompt.repeat(3) })),
    }),
    app.post("/tasks", { id: "u", prompt: long.repeat(9) }),
    app.patch("/tasks/t", { prompt: long.repeat(9) }),
  ];
  for (const { status, body } of await Promise.all(tooMuch))
    expect([status, body.error?.code]).toEqual([409, "LIMIT_REACHED"]);
  await expectTrueCounts(app);
  const file = await upload(app, `prompt\n${long}\n${long}\n`);
  const fromFile = await app.post("/batches", { id: "f", inputFile: file.body.data.id });
  expect([fromFile.status, fromFile.body.error?.message]).toEqual([
    409,
    expect.stringContaining("(MAX_STORED_BYTES_PER_KEY)"),
  ]);
  expect((await app.get("/batches/f")).status).toBe(404);
  await app.del("/batches/b");
  expect((await app.post("/batches", { id: "f", inputFile: file.body.data.id })).status).toBe(201);
  expect((await app.patch("/tasks/t", { prompt: "short" })).status).toBe(200);
  await expectTrueCounts(app);
  await app.del("/batches/f");
  await app.del("/tasks/t");
  const { counted: left } = await counted(app);
  await expectTrueCounts(app);
  expect(left[1]).toBe(0);
});

test("a batch that replaces the tasks that named it counts their new sizes", async () => {
  await using app = await startServer({ MAX_STORED_BYTES: "4000" });
  for (const id of ["a", "b"]) await app.post("/tasks", { id, batchId: "later", prompt: "x" });
  const filling = (prompt: string) =>
    app.post("/batches", { id: "later", tasks: ["a", "b"].map((id) => ({ id, prompt })) });
  const tooMuch = await filling(long.repeat(3));
  expect([tooMuch.status, tooMuch.body.error?.code]).toEqual([409, "LIMIT_REACHED"]);
  expect((await filling(long)).status).toBe(201);
  await expectTrueCounts(app);
});

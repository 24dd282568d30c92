import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { CHUNKS } from "../../src/domain/chunks.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

// Rows are checked and written in threes, so that the first ones are written before the last ones are read.

let app: TestServer;
let unitsOfRows = 0;

beforeAll(async () => {
  app = await startServer({}, { chunks: { ...CHUNKS, ingest: 3 } });
  const { writer } = app.ctx;
  const { write } = writer;
  writer.write = (unit, options) => {
    if ("touched" in unit && "inputs" in unit && options) unitsOfRows++;
    return write(unit, options);
  };
});
afterAll(() => app[Symbol.asyncDispose]());

const lines = (count: number, prefix = "") =>
  Array.from(
    { length: count },
    (_, i) => ({ id: `${prefix}${i + 1}`, prompt: `p${i + 1}` }) as Json,
  );

/** Creates a batch from a file of these rows. */
async function create(id: string, rows: Json[], options: object = {}) {
  const inputFile = `${id}.jsonl`;
  writeFileSync(join(app.filesDir, inputFile), rows.map((row) => JSON.stringify(row)).join("\n"));
  unitsOfRows = 0;
  const { status, body } = await app.post("/batches", { id, inputFile, ...options });
  const { rows: left } = await app.ctx.client.execute(
    "SELECT b.id, t.id FROM batches b LEFT JOIN tasks t ON t.batch = b.seq WHERE b.id LIKE '~%'",
  );
  expect(left).toEqual([]);
  return { status, data: body.data, error: body.error };
}

/** Each error of a row, with the row's number. */
const issuesOf = ({ error }: { error: Json }) =>
  error.details.rows.map(({ row, message }: Json) => `${row}: ${message}`);

test("if a late row is wrong, all that is wrong is reported, and nothing is left", async () => {
  const rows = lines(20, "late-");
  delete rows[9].prompt;
  rows[18].prompt = 7;
  const refused = await create("late", rows);
  expect([refused.status, refused.error.details.total]).toEqual([400, 2]);
  expect(refused.error.details.rows.map(({ row }: Json) => row)).toEqual([10, 19]);
  expect(unitsOfRows).toBeGreaterThan(0);
  // The ids are free again.
  const { data } = await create("late", lines(20, "late-"));
  expect(data.taskCount).toBe(20);
  expect((await app.get("/tasks/late-20")).status).toBe(200);
});

test("names that occur twice in chunks that are written are reported with both rows", async () => {
  const rows = lines(12, "t");
  rows[10].id = rows[1].id;
  expect(issuesOf(await create("twice", rows))).toEqual(["11: t2 is the id of row 2 already"]);
  expect(unitsOfRows).toBeGreaterThan(0);
  const keyed = lines(12, "k");
  for (const [i, row] of keyed.entries()) row.idempotencyKey = `k${i % 11}`;
  expect(issuesOf(await create("keyed", keyed))).toEqual(["12: is that of row 1 already"]);
  const near = lines(3, "n");
  near[2].id = near[0].id;
  expect(issuesOf(await create("near", near))).toEqual(["3: n1 is the id of row 1 already"]);
  // Rows that are not sound are not even tried.
  expect(unitsOfRows).toBe(0);
});

test("an id that is taken makes the ids of all rows those of the batch, also of written ones", async () => {
  await app.post("/tasks", { id: "8", prompt: "x" });
  const { data } = await create("scoped", lines(10));
  expect(data.taskCount).toBe(10);
  const { body } = await app.get("/tasks?batchId=scoped&sort=id&limit=100");
  expect(body.data.tasks.map(({ id }: Json) => id).toSorted()).toEqual(
    lines(10, "scoped.")
      .map(({ id }) => id)
      .toSorted(),
  );
  const refused = await create("whole", lines(10), { scopedIds: false });
  expect(issuesOf(refused)).toEqual(["8: 8 is the id of another task already"]);
});

test("rows that replace tasks of a batch without input are found in any chunk", async () => {
  await app.post("/tasks", { id: "own-9", prompt: "p9", batchId: "own" });
  const { data } = await create("own", lines(10, "own-"));
  expect(data.taskCount).toBe(10);
  const { body } = await app.get("/tasks?batchId=own&limit=100");
  expect(body.data.tasks).toHaveLength(10);
});

test("cells that only later rows have are empty in those before", async () => {
  writeFileSync(join(app.filesDir, "wide.csv"), "prompt,\na\nb\nc\nd\ne,more\n");
  await app.post("/batches", { id: "wide", inputFile: "wide.csv" });
  const { text } = await app.get("/batches/wide/results?format=csv");
  const table = text.split("\n").map((line) => line.trim().split(",").slice(0, 2).join());
  expect(table.slice(0, 6)).toEqual(["prompt,", "a,", "b,", "c,", "d,", "e,more"]);
});

test.each([
  ["a file with ids of its own", { scopedIds: false }],
  ["a file", {}],
  ["tasks in the request", { tasks: lines(10, "inline-") }],
])(
  "a request for %s that is repeated while its rows are stored gets the same batch",
  async (_, options) => {
    const id = `twin-${Object.keys(options).join("")}`;
    writeFileSync(
      join(app.filesDir, "twin.jsonl"),
      lines(10, `${id}.`)
        .map((row) => JSON.stringify(row))
        .join("\n"),
    );
    const body = {
      inputFile: "tasks" in options ? undefined : "twin.jsonl",
      idempotencyKey: id,
      id,
      ...options,
    };
    // The second request is sent when rows of the first are stored, and the first ends only when the second waits for it.
    const { writer, creating } = app.ctx;
    const { write } = writer;
    const waits = Promise.withResolvers<void>();
    creating.get = (name) => {
      const other = Map.prototype.get.call(creating, name);
      if (other) waits.resolve();
      return other;
    };
    let second: ReturnType<typeof app.post> | undefined;
    writer.write = async (unit, given) => {
      const written = await write(unit, given);
      if ("touched" in unit && "inputs" in unit) second ??= app.post("/batches", body);
      if (second) await waits.promise;
      return written;
    };
    const first = await app.post("/batches", body);
    writer.write = write;
    const again = await second;
    expect([first.status, again?.status]).toEqual([201, 200]);
    expect(again?.body.data.id).toBe(first.body.data.id);
    const { body: list } = await app.get(`/tasks?batchId=${id}&limit=100`);
    expect(list.data.tasks).toHaveLength(10);
    expect(list.data.tasks[0].id).toMatch(/^(twin|inline)/);
  },
);

import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
beforeAll(async () => {
  provider = await startProvider(({ prompt, body }, response) => {
    const { model } = body;
    const isBig = model === "gpt-4o";
    if (prompt.includes("fail") && isBig) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "no" } }));
      return undefined;
    }
    const json = isBig ? '{"a": 1, "b": [2]}' : ' {"b":[2],"a":1}\n';
    const other = prompt.includes("same") ? "same" : `${model} says so`;
    const content = prompt.includes("json") ? json : other;
    return {
      model,
      choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    };
  });
  app = await startServer(provider.env);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function run(id: string, inputFile: string, model: string): Promise<void> {
  const made = await app.post("/batches", { id, inputFile, config: { model, maxRetries: 0 } });
  if (made.status !== 201) throw new Error(made.text);
  await app.post(`/batches/${id}/execute`);
  await app.finished(id);
}

function file(name: string, text: string): string {
  writeFileSync(join(app.filesDir, name), text);
  return name;
}

async function rows(query: string): Promise<Json[]> {
  const answer = await app.get(`/batches/compare?${query}`);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.body as Json[];
}

test("two batches of one file are compared row by row", async () => {
  const input = file("in.csv", "prompt,left_status\nsame,x\nother,y\njson,\nfail,z\n");
  await run("big", input, "gpt-4o");
  await run("small", input, "gpt-4o-mini");
  const csv = await app.get("/batches/compare?left=big&right=small");
  expect(csv.headers.get("content-disposition")).toBe('attachment; filename="big-small.csv"');
  const table: Json[] = parse(csv.text, { columns: true });
  expect(
    table.map((row) => [row.prompt, row.left_status, row.task_left_status, row.left_result]),
  ).toEqual([
    ["same", "x", "completed", "same"],
    ["other", "y", "completed", "gpt-4o says so"],
    ["json", "", "completed", '{"a": 1, "b": [2]}'],
    ["fail", "z", "failed", ""],
  ]);
  expect(table.map(({ right_result }) => right_result)).toEqual([
    "same",
    "gpt-4o-mini says so",
    ' {"b":[2],"a":1}\n',
    "gpt-4o-mini says so",
  ]);
  expect(table.map(({ equal }) => equal)).toEqual(["true", "false", "true", ""]);
  // 10 tokens and 5, at the prices of gpt-4o-mini and gpt-4o; a refused call costs nothing.
  expect(table.map(({ right_cost_usd }) => right_cost_usd)).toEqual(
    Array.from({ length: 4 }, () => "0.0000045"),
  );
  expect(table.map(({ left_cost_usd }) => left_cost_usd)).toEqual([
    ...Array.from({ length: 3 }, () => "0.000075"),
    "",
  ]);
  for (const { left_duration_ms, right_duration_ms } of table)
    for (const duration of [left_duration_ms, right_duration_ms]) expect(duration).toMatch(/^\d+$/);

  const json = await rows("left=big&right=small&format=json&differing=true");
  expect(json.map(({ input, equal }) => [input.prompt, equal])).toEqual([
    ["other", false],
    ["fail", null],
  ]);
  expect(json[1]?.left).toMatchObject({ status: "failed", result: null });
  expect(json[1]?.left.error.code).toBeString();
  expect(json[0]?.right).toMatchObject({
    model: "gpt-4o-mini",
    result: "gpt-4o-mini says so",
    costUsd: 0.0000045,
    durationMs: expect.any(Number),
  });
});

test("rows are joined by the ids of their input, and a row without a partner has no other side", async () => {
  const line = (id: string, prompt: string) => JSON.stringify({ custom_id: id, prompt });
  await run(
    "ids-a",
    file("a.jsonl", [line("1", "same"), line("2", "a"), line("3", "b")].join("\n")),
    "gpt-4o",
  );
  await run("ids-b", file("b.csv", "original_id,prompt\n4,new\n3,b\n1,same\n"), "gpt-4o-mini");
  const joined = await rows("left=ids-a&right=ids-b&by=id&format=json");
  expect(
    joined.map(({ input, left, right, equal }) => [
      input.custom_id ?? input.original_id,
      left?.result ?? null,
      right?.result ?? null,
      equal,
    ]),
  ).toEqual([
    ["1", "same", "same", true],
    ["2", "gpt-4o says so", null, null],
    ["3", "gpt-4o says so", "gpt-4o-mini says so", false],
    ["4", null, "gpt-4o-mini says so", null],
  ]);
});

test("two versions of a sheet, with the same ids, are joined by them", async () => {
  await run("v1", file("v1.csv", "id,prompt\n1,same\n2,a\n"), "gpt-4o");
  await run("v2", file("v2.csv", "id,prompt\n2,a\n3,new\n1,same\n"), "gpt-4o-mini");
  const joined = await rows("left=v1&right=v2&by=id&format=json");
  expect(joined.map(({ input, equal }) => [input.id, equal])).toEqual([
    ["1", true],
    ["2", false],
    ["3", null],
  ]);
});

test("batches that do not match are refused, with the difference", async () => {
  const first = file("first.csv", "prompt,city\na,Rome\nb,Paris\n");
  await run("base", first, "gpt-4o");
  const refused = async (id: string, text: string, by = "position") => {
    if (text !== "") await run(id, file(`${id}.csv`, text), "gpt-4o");
    const answer = await app.get(`/batches/compare?left=base&right=${id}&by=${by}`);
    expect(answer.status).toBe(400);
    return answer.body.error.details.issues[0] as { path: string; message: string };
  };
  expect((await refused("other-cell", "prompt,city\na,Rome\nb,Oslo\n")).message).toContain(
    'row 2, column "city" differs',
  );
  expect((await refused("other-column", "prompt,town\na,Rome\nb,Paris\n")).message).toContain(
    'column 2 is "city" and "town"',
  );
  expect((await refused("more-columns", "prompt,city,n\na,Rome,1\nb,Paris,2\n")).message).toContain(
    'column 3 is missing and "n"',
  );
  expect(await refused("other-cell", "", "id")).toMatchObject({
    path: "left",
    message: expect.stringContaining("row 1 has no id"),
  });
  expect((await app.get("/batches/compare?left=base&right=nobody")).status).toBe(404);
  expect((await app.get("/batches/compare?left=base")).status).toBe(400);
  const taken = await app.post("/batches", { id: "compare", tasks: [{ prompt: "x" }] });
  expect(taken.body.error.message).toContain("must not be compare");
});

test("rows after the end of a shorter batch have no other side, and inline tasks compare by their prompts", async () => {
  const many = Array.from({ length: 450 }, (_, i) => `row ${i}`);
  await run("long", file("long.csv", `prompt\n${many.join("\n")}\n`), "gpt-4o");
  await run("short", file("short.csv", `prompt\n${many.slice(0, 230).join("\n")}\n`), "gpt-4o");
  const pairs = await rows("left=short&right=long&format=json");
  expect(pairs.map(({ input }) => input.prompt)).toEqual(many);
  expect(pairs.filter(({ left }) => left === null)).toHaveLength(220);
  for (const [id, prompt] of [
    ["in-a", "hello"],
    ["in-b", "hello"],
    ["in-c", "bye"],
  ])
    await app.post("/batches", { id, tasks: [{ prompt }] });
  const [pair] = await rows("left=in-a&right=in-b&format=json");
  expect(pair).toMatchObject({
    input: { prompt: "hello" },
    left: { status: "pending" },
    equal: null,
  });
  expect((await app.get("/batches/compare?left=in-a&right=in-c")).status).toBe(400);
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";
import { row, workbookOf } from "../support/workbook.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
const calls = [{ id: "a", type: "function", function: { name: "lookup", arguments: '{"d":1}' } }];
beforeAll(async () => {
  provider = await startProvider(({ prompt }, response) => {
    const answer = (message: Json, finish: string) => ({
      id: "c",
      object: "chat.completion",
      model: "gpt-4o-mini-2024-07-18",
      choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: finish }],
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    });
    if (prompt.startsWith("cut")) return answer({ content: '{"items":[{"na' }, "length");
    if (prompt.startsWith("call"))
      return answer({ content: null, tool_calls: calls }, "tool_calls");
    if (prompt.startsWith("refuse"))
      return answer({ content: null, refusal: "I will not" }, "stop");
    if (!prompt.startsWith("fail")) return undefined;
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: "no" } }));
    return undefined;
  });
  app = await startServer(provider.env);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function run(id: string, batch: object): Promise<void> {
  const made = await app.post("/batches", { id, ...batch });
  if (made.status !== 201) throw new Error(made.text);
  await app.post(`/batches/${id}/execute`);
  await app.finished(id);
}

test("results have the finish reason, the provider, the tool calls and the refusal of an answer", async () => {
  writeFileSync(join(app.filesDir, "in.csv"), "prompt\ncut\ncall\nrefuse\nfine\n");
  await run("says", { inputFile: "in.csv", config: { model: "gpt-4o-mini" } });
  const { progress } = (await app.get("/batches/says")).body.data;
  expect(progress).toMatchObject({ total: 4, truncated: 1, cached: 0, repaired: 0 });
  const rows: Json[] = parse((await app.get("/batches/says/results")).text, { columns: true });
  expect(
    rows.map(({ finish_reason, model, cached, tool_calls, refusal }) => [
      finish_reason,
      model,
      cached,
      tool_calls,
      refusal,
    ]),
  ).toEqual([
    ["length", "gpt-4o-mini-2024-07-18", "false", "", ""],
    ["tool_calls", "gpt-4o-mini-2024-07-18", "false", JSON.stringify(calls), ""],
    ["stop", "gpt-4o-mini-2024-07-18", "false", "", "I will not"],
    ["stop", "gpt-4o-mini", "false", "", ""],
  ]);
  const json: Json[] = (await app.get("/batches/says/results?format=json")).body;
  expect(
    json.map(({ finishReason, toolCalls, refusal }) => [finishReason, toolCalls, refusal]),
  ).toEqual([
    ["length", null, null],
    ["tool_calls", calls, null],
    ["stop", null, "I will not"],
    ["stop", null, null],
  ]);
});

test("progress counts reused answers, which cost nothing", async () => {
  const batch = { tasks: [{ prompt: "one" }, { prompt: "two" }], config: { cache: true } };
  await run("paid", batch);
  await run("free", { ...batch, tasks: [...batch.tasks, { prompt: "three" }] });
  const { progress } = (await app.get("/batches/free")).body.data;
  expect(progress).toMatchObject({ completed: 3, cached: 2, truncated: 0 });
});

test("a CSV begins with a byte order mark on request", async () => {
  writeFileSync(join(app.filesDir, "bom.csv"), "city,prompt\n東京,a\n");
  await run("bom", { inputFile: "bom.csv" });
  const marked = await app.get("/batches/bom/results?bom=true");
  const plain = await app.get("/batches/bom/results");
  expect(plain.text).toStartWith("city,");
  const bytes = await (
    await fetch(`${app.url}/api/v1/batches/bom/results?bom=true`, {
      headers: { authorization: "Bearer test-key" },
    })
  ).bytes();
  expect([...bytes.subarray(0, 4)]).toEqual([0xef, 0xbb, 0xbf, 0x63]);
  expect(marked.headers.get("etag")).not.toBe(plain.headers.get("etag"));
});

test("failed rows are returned unchanged, and can be sent again", async () => {
  const text =
    "id,note,prompt,note,idempotency_key,original_id\n" +
    'a,"x, y",fine,1,k1,\nb," ""q"" ",fail me,2,k2,\nc,,fail too,3,k3,z\n';
  writeFileSync(join(app.filesDir, "mixed.csv"), text);
  await run("mixed", { inputFile: "mixed.csv" });
  const failed = await app.get("/batches/mixed/results?status=failed&format=input");
  expect(failed.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  expect(failed.headers.get("content-disposition")).toContain('"mixed-input.csv"');
  expect(parse(failed.text)).toEqual([
    ["original_original_id", "note", "prompt", "note", "original_idempotency_key", "original_id"],
    ["b", ' "q" ', "fail me", "2", "k2", ""],
    ["c", "", "fail too", "3", "k3", "z"],
  ]);
  const models = { fine: "gpt-4o-mini", "fail me": "gpt-4o-mini", "fail too": "gpt-4o-mini" };
  const results: Json[] = parse((await app.get("/batches/mixed/results")).text, { columns: true });
  expect(Object.fromEntries(results.map(({ prompt, model }) => [prompt, model]))).toEqual(models);
  writeFileSync(join(app.filesDir, "again.csv"), failed.text);
  await run("again", { inputFile: "again.csv" });
  expect((await app.get("/batches/again")).body.data.progress.failed).toBe(2);
});

test("failed rows are read again with the options of their batch, in every format", async () => {
  const latin = (text: string) => Buffer.from(text, "latin1");
  const book = await workbookOf(
    [
      { name: "Cover", rows: row(1, "x") },
      {
        name: "A &amp; &quot;B&quot;",
        rows:
          row(1, "Title") +
          row(3, "text", "n", "day") +
          row(
            4,
            "fail",
            { xml: '<c r="B4"><v>1.5</v></c>' },
            { xml: '<c s="1"><v>46000</v></c>' },
          ) +
          row(5, "fine", "x", "y"),
      },
    ],
    { formats: ["yyyy-mm-dd"] },
  );
  const bare = await workbookOf(row(1, "fail", "1") + row(2, "fine", "2"));
  const [csv, xlsx] = [{ header: false }, { header: false }];
  const files: [name: string, content: string | Buffer, options?: object][] = [
    ["a.csv", 'text;n\nfail;"1,5"\nfine;2\n'],
    ["b.tsv", "text\tn\nfail\ta;b\nfine\t2\n"],
    ["c.csv", "text^n\nfail^a,b\nfine^2\n", { csv: { delimiter: "^" } }],
    ["d.csv", "sep=^\ntext^n\nfail^1\nfine^2\n"],
    ["e.csv", "Title\n\ntext,n\nfail,1\nfine,2\n", { csv: { headerRow: 3 } }],
    ["f.csv", "fail,1\nfine,2\n", { csv, promptTemplate: "{{column_1}}" }],
    ["g.csv", latin("text,n\nfail,Stra\xdfe\nfine,2\n"), { csv: { encoding: "cp1252" } }],
    ["h.jsonl", latin('{"text":"fail","n":"\xdf"}\n'), { csv: { encoding: "cp1252" } }],
    ["i.json", '[{"text":"fail","n":[1.50]},{"text":"fine"}]'],
    ["j.xlsx", book, { xlsx: { sheet: 'A & "B"', headerRow: 3 } }],
    ["k.xlsx", bare, { xlsx, promptTemplate: "{{column_1}}" }],
  ];
  for (const [name, content, options] of files) {
    const config = { promptTemplate: "{{text}}", ...options };
    writeFileSync(join(app.filesDir, name), content);
    await run(name, { inputFile: name, config });
    const response = await fetch(
      `${app.url}/api/v1/batches/${name}/results?status=failed&format=input`,
      { headers: { authorization: "Bearer test-key" } },
    );
    const [, given = ""] = /"(.*)"/.exec(response.headers.get("content-disposition") ?? "") ?? [];
    writeFileSync(join(app.filesDir, given), await response.bytes());
    await run(`${name}-again`, { inputFile: given, config });
    const rowsOf = async (id: string) => {
      const rows: Json[] = (await app.get(`/batches/${id}/results?format=json&status=failed`)).body;
      return rows.map((row) => Object.entries(row).filter(([name]) => !/(Id|At)$/.test(name)));
    };
    const failed = await rowsOf(name);
    expect([name, failed]).toEqual([name, await rowsOf(`${name}-again`)]);
    expect(failed).toHaveLength(1);
    const { progress } = (await app.get(`/batches/${name}-again`)).body.data;
    expect([name, progress.total]).toEqual([name, 1]);
  }
});

test("failed lines of JSONL are returned to the last digit, and so are inline tasks", async () => {
  const messages = [{ role: "user", content: "fail" }];
  const lines = [
    '{"id": 12345678901234567890, "prompt": "fail", "n": 1.50, "deep": {"id": 1}}',
    '{"prompt":"fine"}',
    JSON.stringify({ custom_id: "x", url: "/chat/completions", body: { messages } }),
  ];
  writeFileSync(join(app.filesDir, "in.jsonl"), lines.join("\n"));
  await run("lines", { inputFile: "in.jsonl" });
  const failed = await app.get("/batches/lines/results?status=failed&format=input");
  expect(failed.headers.get("content-disposition")).toContain('"lines-input.jsonl"');
  expect(failed.text.trimEnd().split("\n")).toEqual([
    '{"original_id":12345678901234567890,"prompt":"fail","n":1.50,"deep":{"id":1}}',
    lines[2] ?? "",
  ]);
  const task = { id: "inline", prompt: "fail", temperature: 0.5, metadata: { n: 1 } };
  await run("tasks", { tasks: [task, { prompt: "fine" }], config: { parameters: { seed: 7 } } });
  const line = (await app.get("/batches/tasks/results?status=failed&format=input")).text;
  expect(JSON.parse(line)).toEqual({
    original_id: "inline",
    messages,
    model: app.ctx.config.defaultModel,
    temperature: 0.5,
    metadata: { n: 1 },
    parameters: { seed: 7 },
  });
});

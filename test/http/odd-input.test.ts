import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import type { LogRecord } from "@logtape/logtape";

import { readConfig } from "../../src/config.ts";
import { checkJson } from "../../src/lib/json-limits.ts";
import { toJsonLine, toPrettyLine } from "../../src/lib/log-format.ts";
import { startProvider } from "../support/provider.ts";
import { client, type Json, startServer, until } from "../support/server.ts";

const JSON_TYPE = { "content-type": "application/json" };

test("while a long body or line is read, other requests are answered", async () => {
  await using app = await startServer();
  // A parser that is called once takes longest for objects that all have different fields.
  const odd = Array.from({ length: 100_000 }, (_, i) => `{"n${i}":[]}`).join();
  const body = `{"prompt":"x","parameters":{"more":[${odd}],"odd":[${odd}],"exact":1.0}}`;
  const lines = ['{"id":"before","prompt":"x"}', body, '{"id":"after","prompt":"x"}', "[1]"];
  writeFileSync(join(app.filesDir, "odd.jsonl"), `${lines.slice(0, 3).join("\n")}\n`);
  writeFileSync(join(app.filesDir, "wrong.jsonl"), `${lines.join("\n")}\n`);
  const startedAt = performance.now();
  checkJson(body);
  const atOnceMs = performance.now() - startedAt;

  /** The longest that another request waits for its answer meanwhile. */
  async function longestWait(reading: Promise<unknown>): Promise<number> {
    const end = new AbortController();
    const ended = Promise.allSettled([reading]).then(() => end.abort());
    let longestMs = 0;
    while (!end.signal.aborted) {
      const askedAt = performance.now();
      expect((await app.get(`${app.url}/healthz`)).status).toBe(200);
      longestMs = Math.max(longestMs, performance.now() - askedAt);
    }
    await ended;
    return longestMs;
  }

  // A busy machine makes single waits longer, but not all.
  let [bodyMs, fileMs] = [Infinity, Infinity];
  for (let i = 0; Math.max(bodyMs, fileMs) > atOnceMs / 2 && i < 5; i++) {
    const task = app.post("/tasks", body.replace("{", `{"id":"t${i}",`), JSON_TYPE);
    bodyMs = Math.min(bodyMs, await longestWait(task));
    expect((await task).status).toBe(201);
    const inputFile = i === 0 ? "odd.jsonl" : "wrong.jsonl";
    const batch = app.post("/batches", { id: `b${i}`, inputFile });
    fileMs = Math.min(fileMs, await longestWait(batch));
    const { status, body: answer } = await batch;
    if (i === 0) expect([status, answer.data.taskCount]).toEqual([201, 3]);
  }
  expect(Math.max(bodyMs, fileMs)).toBeLessThan(atOnceMs / 2);
  const { text } = await app.get("/tasks/t0");
  expect(text).toContain('{"n99999":[]}],"exact":1.0}');
  const { tasks } = (await app.get("/tasks?batchId=b0&sort=createdAt&order=asc")).body.data;
  expect([tasks[0].id, tasks[2].id]).toEqual(["before", "after"]);
  const wrong = await app.post("/batches", { id: "wrong", inputFile: "wrong.jsonl" });
  expect(JSON.stringify(wrong.body.error)).toContain('"row":4');
});

describe("numbers in parameters", () => {
  test("reach the provider unchanged, from a body and from files", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const parameters = '{"seed":12345678901234567890,"a":1e400,"b":1.0,"c":[-0,0.1]}';
    await app.post(
      "/tasks?execute=true",
      `{"id":"t","prompt":"a","temperature":1.0,"maxTokens":1e2,"parameters":${parameters}}`,
      JSON_TYPE,
    );
    await app.ended("t");
    writeFileSync(join(app.filesDir, "t.jsonl"), `{"prompt":"b","parameters":${parameters}}\n`);
    writeFileSync(
      join(app.filesDir, "o.jsonl"),
      `{"custom_id":"x","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"c"}],"seed":12345678901234567890,"b":1.0}}\n`,
    );
    for (const id of ["t", "o"]) {
      await app.post("/batches", { id, inputFile: `${id}.jsonl` });
      await app.post(`/batches/${id}/execute`);
      await app.finished(id);
    }
    const sent = provider.requests.map(({ text }) => text);
    for (const text of sent.slice(0, 2))
      expect(text).toContain('"seed":12345678901234567890,"a":1e400,"b":1.0,"c":[-0,0.1]');
    expect(sent[0]).toContain('"temperature":1,"max_tokens":100');
    expect(sent[2]).toContain('"seed":12345678901234567890,"b":1.0');
    // And they come back as they were written, even after a change of another field.
    expect((await app.get("/tasks/t")).text).toContain(`"parameters":${parameters}`);
    await app.patch("/tasks/t", { temperature: 0.5 });
    expect((await app.get("/tasks/t")).text).toContain(`"parameters":${parameters}`);
  });

  test("of a batch and a schedule are stored unchanged, and reach the provider", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const kept = '"parameters":{"seed":12345678901234567890,"a":1e400,"b":1.0,"c":[-0,0.0000001]}';
    const metadata = '"metadata":{"n":123456789.12345678}';
    writeFileSync(join(app.filesDir, "t.csv"), "prompt\nx\n");
    const config = `"config":{"temperature":1.0,${kept}},"inputFile":"t.csv"`;
    const batch = `{"id":"b",${metadata},${config}}`;
    expect((await app.post("/batches", batch, JSON_TYPE)).status).toBe(201);
    const schedule = `{"name":"s","schedule":"0 0 1 1 *",${config}}`;
    const { id } = (await app.post("/scheduled-tasks", schedule, JSON_TYPE)).body.data;
    for (const path of ["/batches/b", "/batches", `/scheduled-tasks/${id}`])
      expect((await app.get(path)).text).toContain(kept);
    expect((await app.get("/batches/b")).text).toContain(metadata);
    expect((await app.get("/batches/b")).body.data.config.temperature).toBe(1);
    await app.post(`/scheduled-tasks/${id}/run`);
    await until(() => provider.requests.length > 0 || undefined);
    expect(provider.requests[0]?.text).toContain(kept.slice('"parameters":{'.length, -1));
  });

  test("out of range are refused", async () => {
    await using app = await startServer();
    const { status, body } = await app.post(
      "/tasks",
      '{"prompt":"a","temperature":1e400}',
      JSON_TYPE,
    );
    expect([status, body.error.details.issues[0].path]).toEqual([400, "temperature"]);
  });
});

describe("invalid text", () => {
  test("is refused in the request: half a surrogate pair", async () => {
    await using app = await startServer();
    for (const text of [
      '{"prompt":"\\ud800"}',
      '{"prompt":"x","metadata":{"\\udc00":1}}',
      '{"prompt":"x","messages":[{"role":"user","content":"\\ud83d"}]}',
    ])
      expect((await app.post("/tasks", text, JSON_TYPE)).status).toBe(400);
    expect((await app.post("/tasks", '{"prompt":"\\ud83d\\ude00"}', JSON_TYPE)).status).toBe(201);
    writeFileSync(join(app.filesDir, "a.jsonl"), '{"prompt":"\\ud800"}\n');
    const { body } = await app.post("/batches", { inputFile: "a.jsonl" });
    expect(body.error.details.rows[0]).toMatchObject({ row: 1 });
  });

  test("JSON of 40,000 levels in a line or a cell makes the row invalid", async () => {
    await using app = await startServer();
    const deep = "[".repeat(40_000) + "]".repeat(40_000);
    writeFileSync(join(app.filesDir, "a.jsonl"), `{"prompt":"x","metadata":${deep}}\n`);
    writeFileSync(join(app.filesDir, "a.csv"), `prompt,metadata\nx,"${deep}"\n`);
    for (const inputFile of ["a.jsonl", "a.csv"]) {
      const { status, body } = await app.post("/batches", { inputFile });
      expect([status, body.error.details.total]).toEqual([400, 1]);
      expect(body.error.details.rows[0].message).toContain("levels deep");
    }
  });
});

describe("a name that occurs twice in one object", () => {
  const TWICE: [path: string, text: string, where: string][] = [
    ["/tasks/t/execute", '{"isDryRun":true,"isDryRun":false}', "isDryRun"],
    ["/tasks", '{"prompt":"x","metadata":{"a":[{"b":1,"b":2}]}}', "metadata.a.0.b"],
    ["/tasks", '{"prompt":"x","parameters":{"seed":1,"\\u0073eed":2}}', "parameters.seed"],
    ["/batches", '{"tasks":[{"prompt":"x"},{"prompt":"y","prompt":"z"}]}', "tasks.1.prompt"],
    ["/batches/b/cancel", '{"x":1,"x":2}', "x"],
    ["/api-keys", '{"name":"k","scopes":["admin"],"scopes":["read"]}', "scopes"],
  ];

  test("is refused in every body", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    for (const [path, text, where] of TWICE) {
      const { status, body } = await app.post(path, text, JSON_TYPE);
      const issue = { path: where, message: "is given more than once in one object" };
      expect([path, status, body.error.details.issues]).toEqual([path, 400, [issue]]);
    }
    expect((await app.get("/tasks/t")).body.data.status).toBe("pending");
  });

  test("makes a row of a file invalid", async () => {
    await using app = await startServer();
    writeFileSync(join(app.filesDir, "a.jsonl"), '{"prompt":"x","city":"a","city":"b"}\n');
    writeFileSync(join(app.filesDir, "a.csv"), `prompt,metadata\nx,"{""a"":1,""a"":2}"\n`);
    for (const [inputFile, message] of [
      ["a.jsonl", "is given more than once in one object"],
      ["a.csv", "a is given more than once in one object"],
    ]) {
      const { status, body } = await app.post("/batches", { inputFile });
      expect([status, body.error.details.rows[0].message]).toEqual([400, message]);
    }
  });
});

describe("an unusual body", () => {
  test("is refused if the boundary of its form is too long", async () => {
    await using app = await startServer();
    const type = `multipart/form-data; boundary=${"x".repeat(300)}`;
    const { status, body } = await app.post("/files", "--x", { "content-type": type });
    expect([status, body.error.message]).toEqual([
      400,
      "the form is broken: its boundary is too long",
    ]);
  });

  test("counts as absent if it is empty, whatever its content type", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    const type = { "content-type": "application/x-www-form-urlencoded" };
    expect((await app.post("/tasks/t/execute?isDryRun=true", "", type)).status).toBe(200);
    const nothing = await app.post("/tasks", "", type);
    expect(nothing.status).toBe(400);
    expect((await app.post("/tasks", "a=b", type)).status).toBe(415);
  });

  test("is refused if it is compressed", async () => {
    await using app = await startServer();
    const zipped = Bun.gzipSync(Buffer.from('{"prompt":"x"}'));
    const headers = { ...JSON_TYPE, "content-encoding": "gzip" };
    const { status, body } = await app.post("/tasks", zipped, headers);
    expect([status, body.error.code]).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
    const plain = { ...JSON_TYPE, "content-encoding": "identity" };
    expect((await app.post("/tasks", '{"prompt":"x"}', plain)).status).toBe(201);
  });

  test("gets at most a hundred errors, and their number", async () => {
    await using app = await startServer();
    const tasks = Array.from({ length: 250 }, () => ({ prompt: "" }));
    const { body } = await app.post("/batches", { tasks });
    expect([body.error.details.issues.length, body.error.details.total]).toEqual([100, 250]);
    expect(body.error.message).toContain("(and 249 more)");
  });
});

test("a read-only key sees only the origin of a webhook's address", async () => {
  await using app = await startServer();
  const url = "https://hooks.example.com/services/T0/B0/secret?token=hidden";
  const { id } = (await app.post("/webhooks", { url, events: ["*"] })).body.data;
  const keyOf = async (scopes: string[]) =>
    client(app.url, (await app.post("/api-keys", { name: "k", scopes })).body.data.key);
  const reader = await keyOf(["read"]);
  for (const path of ["/webhooks", `/webhooks/${id}`]) {
    const { text } = await reader.get(path);
    expect(text).toContain("https://hooks.example.com/…");
    expect(text).not.toMatch(/secret|hidden/);
  }
  const writer = await keyOf(["write"]);
  expect((await writer.get(`/webhooks/${id}`)).body.data.url).toBe(url);
});

test("the documentation page keeps no key in the browser", async () => {
  await using app = await startServer();
  expect((await app.get(`${app.url}/docs`)).text).not.toMatch(/persistAuthorization: ?true/);
});

test("a log line cannot be forged, and contains no terminal commands", () => {
  const path = "/x\n12:00:00.000 INF http       GET /forged 200\u001b[2J\u202e\u009b31m\u007f";
  const record: LogRecord = {
    timestamp: 0,
    level: "info",
    category: ["gptrunner", "http"],
    rawMessage: "{method} {path}",
    message: ["", "GET", " ", path, ""],
    properties: { method: "GET", path, requestId: "a\nb" },
  };
  for (const line of [toPrettyLine(false)(record), toJsonLine(record)]) {
    expect(line.split("\n")).toHaveLength(1);
    expect(line).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(line).toContain("\\u009b31m");
  }
  expect(toPrettyLine(false)(record)).toContain("/x\\u000a12:00");
  expect(JSON.parse(toJsonLine(record)).path).toBe(path);
});

describe("a part of a name", () => {
  test("matches in any letter case, also beyond ASCII, and is not a pattern", async () => {
    await using app = await startServer();
    for (const name of ["ÜBERSICHT Ärzte", "ОТЧЁТ", "Σίσυφος", "[a-z]*?", "plain"])
      await app.post("/batches", { name, tasks: [{ prompt: "x" }] });
    writeFileSync(join(app.filesDir, "a.csv"), "prompt\nx\n");
    await app.post("/scheduled-tasks", { name: "Größe", schedule: "@daily", inputFile: "a.csv" });
    const found = async (path: string, name: string) => {
      const { data } = (await app.get(`${path}?name=${encodeURIComponent(name)}`)).body;
      return (data.batches ?? data.tasks).map((one: Json) => one.name);
    };
    expect(await found("/batches", "übersicht ä")).toEqual(["ÜBERSICHT Ärzte"]);
    for (const name of ["ΣΊΣΥΦΟΣ", "σίσυφοσ", "σίσυφος"])
      expect(await found("/batches", name)).toEqual(["Σίσυφος"]);
    expect(await found("/batches", "отчёт")).toEqual(["ОТЧЁТ"]);
    expect(await found("/batches", "[A-Z]*")).toEqual(["[a-z]*?"]);
    expect(await found("/batches", "PLAIN")).toEqual(["plain"]);
    expect(await found("/batches", "*")).toEqual(["[a-z]*?"]);
    expect(await found("/scheduled-tasks", "GRÖ")).toEqual(["Größe"]);
  });
});

describe("paths of files", () => {
  test("work as the documentation prints them if FILES_DIR is their folder", async () => {
    await using first = await startServer();
    writeFileSync(join(first.filesDir, "tasks.csv"), "prompt\nx\n");
    const inputFile = join(first.filesDir, "tasks.csv");
    const { status } = await first.post("/batches", { id: "csv-batch", inputFile });
    expect(status).toBe(201);
  });

  test("elsewhere are refused with the right form", async () => {
    await using app = await startServer();
    const inputFile = "/path/to/tasks.csv";
    const batch = await app.post("/batches", { inputFile });
    const schedule = await app.post("/scheduled-tasks", {
      name: "s",
      schedule: "@daily",
      inputFile,
      outputFile: "/path/to/results.csv",
    });
    for (const { status, text } of [batch, schedule]) {
      expect(status).toBe(400);
      for (const part of ["FILES_DIR", "POST /api/v1/files", '\\"tasks.csv\\"'])
        expect(text).toContain(part);
    }
    expect(schedule.text).toContain('\\"results.csv\\"');
  });
});

test("LOG_LEVEL, LOG_FORMAT and ROLE accept common spellings", () => {
  const read = (LOG_LEVEL: string) => readConfig({ LOG_LEVEL }).logLevel;
  expect(["warn", "WARN", "Warning", "INFO", "err", "fatal"].map(read)).toEqual([
    "warning",
    "warning",
    "warning",
    "info",
    "error",
    "error",
  ]);
  expect(readConfig({ LOG_FORMAT: "JSON", ROLE: "API" })).toMatchObject({
    logFormat: "json",
    role: "api",
  });
  expect(() => readConfig({ LOG_LEVEL: "loud" })).toThrow("LOG_LEVEL");
});

test("cells that a spreadsheet would execute are neutralised in the output file if the batch is set so", async () => {
  await using app = await startServer();
  writeFileSync(join(app.filesDir, "in.csv"), 'prompt,note\nx,"\n=1+1"\ny,=2+2\n');
  for (const safeOutput of [true, false]) {
    const outputFile = `${safeOutput}.csv`;
    const id = String(safeOutput);
    await app.post("/batches", { id, inputFile: "in.csv", outputFile, config: { safeOutput } });
    await app.post(`/batches/${id}/execute`);
    await app.finished(id);
  }
  const written = async (name: string) => Bun.file(join(app.filesDir, name)).text();
  const { body } = await app.get("/batches/true");
  expect(body.data.config.safeOutput).toBe(true);
  const results = (await app.get("/batches/true/results?safe=true")).text;
  expect(results).toContain('"\'\n=1+1"');
  expect(results).toContain("'=2+2");
  for (const id of ["true", "false"])
    await until(async () => {
      const { data } = (await app.get(`/batches/${id}`)).body;
      return data.output?.status === "written" || undefined;
    });
  expect(await written("true.csv")).toContain("'=2+2");
  expect(await written("false.csv")).not.toContain("'=2+2");
});

test("a name, a description, a path, a key or a secret with U+0000 is refused", async () => {
  await using app = await startServer();
  const nul = "before\u0000after";
  const hook = { url: "https://example.com/", events: ["*"] };
  const row = { prompt: "x" };
  writeFileSync(join(app.filesDir, "in.csv"), "prompt\nx\n");
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  const answers = await Promise.all([
    app.post("/batches", { name: nul, tasks: [{ prompt: "x" }] }),
    app.post("/batches", { description: nul, tasks: [{ prompt: "x" }] }),
    app.patch("/batches/b", { name: nul }),
    app.patch("/batches/b", { description: nul }),
    app.post("/api-keys", { name: nul }),
    app.post("/scheduled-tasks", { name: nul, inputFile: "in.csv", schedule: "@daily" }),
    app.post("/scheduled-tasks", { name: "s", inputFile: nul, schedule: "@daily" }),
    app.post("/batches", { inputFile: nul }),
    app.post("/batches", { outputFile: nul, tasks: [{ prompt: "x" }] }),
    app.post("/scheduled-tasks", {
      name: "s",
      inputFile: "in.csv",
      outputFile: nul,
      schedule: "@daily",
    }),
    app.post("/scheduled-tasks", {
      name: "s",
      description: nul,
      inputFile: "in.csv",
      schedule: "@daily",
    }),
    app.post("/webhooks", { ...hook, description: nul }),
    app.post("/webhooks", { ...hook, secret: nul }),
    app.post("/tasks", { ...row, model: nul }),
    app.post("/tasks", { ...row, idempotencyKey: nul }),
    app.post("/tasks", { prompt: nul, messages: [{ role: "user", content: "x" }] }),
    app.post("/tasks", { ...row, output: [nul] }),
    app.post("/tasks", { ...row, escalateTo: nul }),
    app.post("/batches", { tasks: [row], idempotencyKey: nul }),
    app.post("/batches", { tasks: [{ ...row, idempotencyKey: nul }] }),
    app.post("/batches", { tasks: [row], config: { escalateTo: nul } }),
  ]);
  for (const [i, { status, body }] of answers.entries()) {
    expect([i, status, body.error?.code]).toEqual([i, 400, "VALIDATION_ERROR"]);
    expect([i, JSON.stringify(body.error)]).toEqual([
      i,
      expect.stringMatching(/U\+0000|must be a list of names/),
    ]);
  }
});

test("U+0000 in what is sent to the model, and in metadata, is kept", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  const prompt = "before\u0000after";
  const metadata = { [prompt]: prompt };
  const config = { systemPrompt: prompt };
  await app.post("/tasks?execute=true", { id: "t", prompt, metadata });
  await app.post("/batches", { id: "b", tasks: [{ id: "r", prompt, metadata }], config, metadata });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await app.ended("t");
  const user = { role: "user", content: prompt };
  const sent: Json[] = provider.requests.map(({ body }) => body.messages);
  expect(sent.toSorted((a, b) => a.length - b.length)).toEqual([
    [user],
    [{ role: "system", content: prompt }, user],
  ]);
  const [single, row] = [
    (await app.get("/tasks/t")).body.data,
    (await app.get("/tasks/r")).body.data,
  ];
  expect([single.prompt, single.metadata, row.metadata]).toEqual([prompt, metadata, metadata]);
  // A row with a system prompt has its prompt in the messages only.
  expect([row.prompt, row.messages.at(-1)]).toEqual([null, user]);
  expect((await app.get("/batches/b")).body.data.metadata).toEqual(metadata);
  const line = JSON.parse((await app.get("/batches/b/results?format=jsonl")).text);
  expect(line).toMatchObject({ metadata, result: `re: ${prompt}` });
});

test("an idempotent request with an explicit default is the same request", async () => {
  await using app = await startServer();
  const task = { prompt: "x", idempotencyKey: "task" };
  const made = await app.post("/tasks", task);
  const again = await app.post("/tasks", {
    ...task,
    priority: "normal",
    parameters: {},
    cache: false,
  });
  expect([made.status, again.body.data?.id]).toEqual([201, made.body.data.id]);
  expect((await app.post("/tasks", { ...task, priority: "high" })).status).toBe(409);
  const batch = { id: "b", idempotencyKey: "batch", tasks: [{ prompt: "x" }] };
  const first = await app.post("/batches", batch);
  expect(first.status).toBe(201);
  const spelledOut = {
    config: {
      cache: false,
      safeOutput: false,
      maxRepairs: 1,
      parameters: {},
      csv: { header: true },
      xlsx: { values: "plain" },
    },
    name: "b",
    tasks: [{ prompt: "x", priority: "normal", parameters: {}, cache: false }],
  };
  for (const [field, value] of [["config", {}] as const, ...Object.entries(spelledOut)]) {
    const { status } = await app.post("/batches", { ...batch, [field]: value });
    expect([field, status]).toEqual([field, 200]);
  }
  expect((await app.post("/batches", { ...batch, ...spelledOut })).body.data.id).toBe("b");
  expect((await app.post("/batches", { ...batch, config: { safeOutput: true } })).status).toBe(409);
  // What a task says as its batch does is the same; what it says otherwise is not.
  const config = {
    cache: true,
    model: "gpt-4o",
    maxRetries: 2,
    parameters: { seed: 1 },
  };
  const cached = { idempotencyKey: "cached", tasks: [{ prompt: "x" }], config };
  expect((await app.post("/batches", cached)).status).toBe(201);
  const alike = [{ prompt: "x", ...config }];
  expect((await app.post("/batches", { ...cached, tasks: alike })).status).toBe(200);
  for (const other of [{ cache: false }, { model: "gpt-4" }, { parameters: { seed: 2 } }]) {
    const tasks = [{ prompt: "x", ...other }];
    expect((await app.post("/batches", { ...cached, tasks })).status).toBe(409);
  }
});

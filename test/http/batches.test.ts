import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { DOCUMENTED_BATCH } from "../support/documented.ts";
import { fail, gate, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

function givenFile(app: TestServer, name: string, text: string | Uint8Array): void {
  writeFileSync(join(app.filesDir, name), text);
}

async function resultsOf(app: TestServer, id: string): Promise<Record<string, string>[]> {
  const { text } = await app.get(`/batches/${id}/results`);
  return parse(text, { columns: true });
}

describe("a batch of inline tasks", () => {
  test("is created, executed and read as documented", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const created = await app.post("/batches", DOCUMENTED_BATCH);
    expect(created.status).toBe(201);
    expect(created.body.data).toEqual({
      id: "batch-001",
      status: "pending",
      taskCount: 2,
      createdAt: expect.any(String),
    });

    const started = await app.post("/batches/batch-001/execute");
    expect(started.body).toMatchObject({
      success: true,
      data: { executionId: expect.stringMatching(/^batch-exec-/), status: "running" },
      message: "Batch execution started",
    });

    expect(await app.finished("batch-001")).toMatchObject({
      id: "batch-001",
      name: "Creative Writing Tasks",
      status: "completed",
      progress: { total: 2, completed: 2, failed: 0, cancelled: 0, pending: 0, running: 0 },
      usage: { promptTokens: 20, completionTokens: 10, totalTokens: 30 },
      costUsd: 0.0012,
      tasks: [
        { id: "task-001", status: "completed", result: "re: Write a haiku about programming" },
        { id: "task-002", status: "completed", result: "re: Write a short story about AI" },
      ],
    });
    expect(provider.requests.map(({ body }) => [body.model, body.temperature])).toEqual([
      ["gpt-4", 0.7],
      ["gpt-4", 0.7],
    ]);
  });

  test("prefers a task's own fields to the configuration", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: [
        { id: "own", prompt: "x", model: "gpt-4", temperature: 0, parameters: { seed: 2 } },
        { id: "shared", prompt: "y" },
        {
          id: "system",
          messages: [
            { role: "system", content: "mine" },
            { role: "user", content: "z" },
          ],
        },
      ],
      config: {
        model: "gpt-4o",
        temperature: 1,
        maxTokens: 9,
        systemPrompt: "Be brief.",
        parameters: { seed: 1, top_p: 0.5 },
      },
    });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const sent = Object.fromEntries(provider.requests.map(({ prompt, body }) => [prompt, body]));
    expect(sent["x"]).toMatchObject({
      model: "gpt-4",
      temperature: 0,
      seed: 2,
      top_p: 0.5,
      max_tokens: 9,
    });
    expect(sent["y"]).toMatchObject({
      model: "gpt-4o",
      seed: 1,
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "y" },
      ],
    });
    expect(sent["z"].messages[0]).toEqual({ role: "system", content: "mine" });
  });

  test("never has more calls in flight than its maxConcurrency", async () => {
    await using provider = await startProvider(() => Bun.sleep(2) as Promise<undefined>);
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: Array.from({ length: 60 }, (_, i) => ({ prompt: `p${i}` })),
      config: { maxConcurrency: 3 },
    });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect(provider.state.mostOpen).toBe(3);
    expect(provider.requests).toHaveLength(60);
  });

  test("is stored whole or not at all", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "taken", prompt: "x" });
    const answer = await app.post("/batches", {
      id: "b",
      tasks: [
        { id: "free", prompt: "x" },
        { id: "taken", prompt: "y" },
      ],
    });
    expect(answer.status).toBe(409);
    expect(answer.body.error).toMatchObject({
      code: "TASK_ALREADY_EXISTS",
      details: { issues: [{ path: "tasks.1.id" }] },
    });
    expect((await app.get("/batches/b")).status).toBe(404);
    expect((await app.get("/tasks/free")).status).toBe(404);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(1);
  });

  test("names every invalid task", async () => {
    await using app = await startServer({ ALLOWED_MODELS: "gpt-4o-mini" });
    const { status, body } = await app.post("/batches", {
      tasks: [
        { id: "a", prompt: "x" },
        { id: "a", prompt: "x" },
        { id: "c" },
        { id: "d", prompt: "x", model: "gpt-99" },
      ],
    });
    expect(status).toBe(400);
    expect(body.error.details.issues).toEqual([
      { path: "tasks.1.id", message: "a is the id of row 1 already" },
      { path: "tasks.2.prompt", message: "give a prompt or messages" },
      { path: "tasks.3.model", message: expect.stringContaining("is not supported") },
    ]);
    expect((await app.get("/batches")).body.data.batches).toEqual([]);
  });

  test("is created once by racing requests with the same idempotency key, and once per id", async () => {
    await using app = await startServer();
    const request = { tasks: [{ prompt: "x" }, { prompt: "y" }], idempotencyKey: "k" };
    const same = await Promise.all(Array.from({ length: 10 }, () => app.post("/batches", request)));
    expect(same.map(({ status }) => status).toSorted()).toEqual([...Array(9).fill(200), 201]);
    expect(new Set(same.map(({ body }) => body.data.id)).size).toBe(1);
    const other = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        app.post("/batches", { id: "b", tasks: [{ prompt: `${i}` }] }),
      ),
    );
    expect(other.map(({ status }) => status).toSorted()).toEqual([201, ...Array(9).fill(409)]);
    const named = { ...request, id: "named", idempotencyKey: "n" };
    const both = await Promise.all(Array.from({ length: 10 }, () => app.post("/batches", named)));
    expect(both.map(({ status }) => status).toSorted()).toEqual([...Array(9).fill(200), 201]);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(5);
    expect((await app.get("/batches")).body.data.pagination.total).toBe(3);
    expect(await app.differences()).toEqual([]);
  });

  test("prefixes the ids of its rows on request, so that a file with ids can be used again", async () => {
    await using app = await startServer();
    givenFile(app, "ids.csv", "id,prompt,idempotency_key\na,one,key\n");
    const create = (id: string, scopedIds?: boolean) =>
      app.post("/batches", { id, inputFile: "ids.csv", scopedIds });
    const statuses = [
      (await create("first", true)).status,
      (await create("second", true)).status,
      (await create("third")).status,
      (await create("fourth")).status,
    ];
    expect(statuses).toEqual([201, 201, 201, 400]);
    expect((await app.get("/batches/second")).body.data.tasks).toMatchObject([{ id: "second.a" }]);
    expect(await resultsOf(app, "second")).toMatchObject([{ id: "a", prompt: "one" }]);
  });

  test("completes a bare batch that a task created by naming it", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "task-001", prompt: "before", batchId: "batch-001" });
    await app.post("/tasks", { id: "extra", prompt: "kept", batchId: "batch-001" });
    const { status, body } = await app.post("/batches", {
      id: "batch-001",
      name: "Filled in",
      tasks: [
        { id: "task-002", prompt: "b" },
        { id: "task-001", prompt: "after" },
      ],
    });
    expect(status).toBe(201);
    expect(body.data.taskCount).toBe(3);
    const batch = (await app.get("/batches/batch-001")).body.data;
    expect(batch.name).toBe("Filled in");
    expect(batch.tasks.map(({ id }: { id: string }) => id)).toEqual([
      "task-002",
      "task-001",
      "extra",
    ]);
    expect((await app.get("/tasks/task-001")).body.data.prompt).toBe("after");
    const again = await app.post("/batches", { id: "batch-001", tasks: [{ prompt: "x" }] });
    expect(again.body.error.code).toBe("BATCH_ALREADY_EXISTS");
    expect(await app.differences()).toEqual([]);
  });

  test("runs once: a running or finished batch is not started again", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    const starts = await Promise.all(
      Array.from({ length: 5 }, () => app.post("/batches/b/execute")),
    );
    expect(starts.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(starts.filter(({ body }) => body.error?.code === "BATCH_RUNNING")).toHaveLength(4);
    held.open();
    await app.finished("b");
    expect((await app.post("/batches/b/execute")).body.error.code).toBe("BATCH_FINISHED");
    expect(provider.requests).toHaveLength(1);
  });

  test("stays a real run if it became one while the retry of its dry run was on its way", async () => {
    await using app = await startServer({ SIMULATOR_FAILURE_RATE: "1", MAX_RETRIES: "0" });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/batches/b/execute?isDryRun=true");
    expect(await app.finished("b")).toMatchObject({ isDryRun: true, status: "failed" });
    const { writer } = app.ctx;
    const write = writer.write.bind(writer);
    writer.write = async (unit) => {
      if (!("moved" in unit)) return write(unit);
      writer.write = write;
      expect((await app.post("/batches/b/execute")).status).toBe(200);
      await app.finished("b");
      return write(unit);
    };
    expect((await app.post("/batches/b/retry")).status).toBe(200);
    expect(await app.finished("b")).toMatchObject({ isDryRun: false, status: "failed" });
    expect(await app.differences()).toEqual([]);
  });

  test("with only failures has failed, with the reason for each task", async () => {
    await using app = await startServer({ SIMULATOR_FAILURE_RATE: "1", MAX_RETRIES: "0" });
    await app.post("/batches", { id: "all", tasks: [{ prompt: "x" }, { prompt: "y" }] });
    await app.post("/batches/all/execute");
    const failed = await app.finished("all");
    expect(failed).toMatchObject({ status: "failed", progress: { total: 2, failed: 2 } });
    expect(failed.tasks[0].error).toEqual({
      code: "PROVIDER_ERROR",
      message: "Simulated failure, as configured by SIMULATOR_FAILURE_RATE",
      providerStatus: 503,
      retryable: true,
    });
    expect(failed.costUsd).toBe(0);
  });

  test("lists its tasks of one status", async () => {
    await using provider = await startProvider(({ prompt }, response) =>
      prompt === "bad" ? fail(response, 400) : undefined,
    );
    await using app = await startServer(provider.env);
    const tasks = ["a", "bad", "b", "bad"].map((prompt, i) => ({ id: `t${i}`, prompt }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const list = async (query: string) => {
      const { tasks, pagination } = (await app.get(`/batches/b?${query}`)).body.data;
      return [tasks.map(({ id }: Json) => id), pagination.total];
    };
    expect(await list("status=failed")).toEqual([["t1", "t3"], 2]);
    expect(await list("status=failed&limit=1&page=2")).toEqual([["t3"], 2]);
    expect(await list("status=running")).toEqual([[], 0]);
    expect(await list("")).toEqual([["t0", "t1", "t2", "t3"], 4]);
  });

  test("is listed by status and part of its name", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "a", name: "Monday haikus", tasks: [{ prompt: "x" }] });
    await app.post("/batches", { id: "b", name: "Tuesday 100%", tasks: [{ prompt: "x" }] });
    const idsOf = async (query: string) =>
      (await app.get(`/batches?${query}`)).body.data.batches.map(({ id }: { id: string }) => id);
    expect(await idsOf("")).toEqual(["b", "a"]);
    expect(await idsOf("name=HAIKU")).toEqual(["a"]);
    expect(await idsOf("name=%25")).toEqual(["b"]);
    expect(await idsOf("sort=name&order=asc")).toEqual(["a", "b"]);
    expect(await idsOf("status=running")).toEqual([]);
  });
});

describe("a batch from a CSV", () => {
  test("keeps every cell, in input order, and adds the result of each row", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const input =
      '\uFEFFid,prompt,note,Model\r\nrow-b,"Say ""hi"", please",first,gpt-4\r\n' +
      'row-a,"two\nlines",  spaces kept ,\r\n,Grüße 世界 🌍,=1+1,\r\n';
    givenFile(app, "tasks.csv", input);
    const created = await app.post("/batches", {
      id: "csv-batch",
      name: "CSV Processing",
      inputFile: "tasks.csv",
      config: { model: "gpt-3.5-turbo", maxConcurrency: 10 },
    });
    expect(created.body.data).toMatchObject({ id: "csv-batch", status: "pending", taskCount: 3 });
    await app.post("/batches/csv-batch/execute");
    await app.finished("csv-batch");

    const { text, headers } = await app.get("/batches/csv-batch/results");
    expect(headers.get("content-type")).toBe("text/csv; charset=utf-8");
    expect(headers.get("content-disposition")).toBe('attachment; filename="csv-batch.csv"');
    const [header] = parse(text);
    expect(header).toEqual([
      "id",
      "prompt",
      "note",
      "Model",
      "status",
      "result",
      "error",
      "prompt_tokens",
      "completion_tokens",
      "cost_usd",
      "attempts",
      "execution_id",
      "finish_reason",
      "model",
      "cached",
      "tool_calls",
      "refusal",
    ]);
    const rows = await resultsOf(app, "csv-batch");
    expect(rows.map(({ id, prompt, note, Model }) => [id, prompt, note, Model])).toEqual([
      ["row-b", 'Say "hi", please', "first", "gpt-4"],
      ["row-a", "two\nlines", "  spaces kept ", ""],
      ["", "Grüße 世界 🌍", "=1+1", ""],
    ]);
    expect(rows.map(({ status, result }) => [status, result])).toEqual([
      ["completed", 're: Say "hi", please'],
      ["completed", "re: two\nlines"],
      ["completed", "re: Grüße 世界 🌍"],
    ]);
    expect((await app.get("/tasks/csv-batch-3")).body.data.prompt).toBe("Grüße 世界 🌍");
    const models = Object.fromEntries(
      provider.requests.map(({ prompt, body }) => [prompt, body.model]),
    );
    expect(models['Say "hi", please']).toBe("gpt-4");
    expect(models["two\nlines"]).toBe("gpt-3.5-turbo");
    expect((await app.get("/batches/csv-batch/results?safe=true")).text).toContain("'=1+1");
  });

  test("fills templates from its columns", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    givenFile(app, "t.csv", "city,language\nParis,French\n東京,{{city}}\n");
    await app.post("/batches", {
      id: "b",
      inputFile: "t.csv",
      config: {
        promptTemplate: "Describe {{city}} in {{ language }}.",
        systemPrompt: "You know {{city}}.",
      },
    });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect(provider.requests.map(({ body }) => body.messages).toSorted()).toEqual([
      [
        { role: "system", content: "You know Paris." },
        { role: "user", content: "Describe Paris in French." },
      ],
      [
        { role: "system", content: "You know 東京." },
        { role: "user", content: "Describe 東京 in {{city}}." },
      ],
    ]);
  });

  test("refuses a template with unknown placeholders, with the known names", async () => {
    await using app = await startServer();
    givenFile(app, "t.csv", "city,prompt\nParis,x\n");
    const { status, body } = await app.post("/batches", {
      inputFile: "t.csv",
      config: { promptTemplate: "{{town}} {{city}} {{country}}" },
    });
    expect(status).toBe(400);
    expect(body.error.details.issues).toEqual([
      {
        path: "config.promptTemplate",
        message: "unknown variables {{town}}, {{country}}; there are city, prompt",
      },
    ]);
  });

  test("refuses a template whose prompts would be too large, before any is composed", async () => {
    await using app = await startServer({ MAX_BATCH_BYTES: "100000" });
    const long = await app.post("/batches", {
      tasks: [{ prompt: "a" }, { prompt: "b", metadata: { p: "z".repeat(10_000) } }],
      config: {
        promptTemplate: "{{prompt}}" + "{{prompt}}{{prompt}}".repeat(20_000) + "{{p}}".repeat(200),
      },
    });
    expect([long.status, long.body.error.details.issues]).toEqual([
      400,
      [
        {
          path: "tasks.0.promptTemplate",
          message: expect.stringContaining("unknown variable {{p}}"),
        },
        {
          path: "tasks.1.promptTemplate",
          message: expect.stringContaining("2040001 characters; 2000000 is the most"),
        },
      ],
    ]);
    const many = await app.post("/batches", {
      tasks: Array.from({ length: 20 }, () => ({ prompt: "0123456789" })),
      config: { promptTemplate: "{{prompt}}".repeat(1000) },
    });
    expect([many.status, many.body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
    expect(many.body.error.message).toContain("up to row 10, templates filled in");
    expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
  });

  test("reads every known column", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    givenFile(
      app,
      "t.csv",
      "id,messages,model,temperature,max_tokens,metadata,batch_id,corr_id,idempotency_key\n" +
        'a,"[{""role"":""user"",""content"":""hi""}]",gpt-4,0.5,20,"{""k"":1}",label,c-1,key-1\n',
    );
    await app.post("/batches", { id: "b", inputFile: "t.csv" });
    const task = (await app.get("/tasks/a")).body.data;
    expect(task).toMatchObject({
      messages: [{ role: "user", content: "hi" }],
      model: "gpt-4",
      temperature: 0.5,
      maxTokens: 20,
      metadata: { k: 1, batchId: "label", corrId: "c-1" },
    });
    const again = await app.post("/tasks", { prompt: "hi", idempotencyKey: "key-1" });
    expect(again.body.error.code).toBe("IDEMPOTENCY_KEY_REUSED");
  });

  test("reports every bad row with its number, field and reason, and stores nothing", async () => {
    await using app = await startServer();
    for (const id of ["taken", "b.taken"]) await app.post("/tasks", { id, prompt: "x" });
    givenFile(
      app,
      "bad.csv",
      "id,prompt,temperature,messages\n" +
        "ok,fine,,\n" +
        "ok,twice,,\n" +
        "b,,,\n" +
        "c,x,hot,\n" +
        "d,x,9,\n" +
        "e,x,,not json\n" +
        "f,x\n" +
        "bad id,x,,\n" +
        "taken,x,,\n",
    );
    const { status, body } = await app.post("/batches", { id: "b", inputFile: "bad.csv" });
    expect(status).toBe(400);
    expect(body.error.message).toBe("row 2, id: ok is the id of row 1 already (and 7 more)");
    expect(body.error.details.total).toBe(8);
    expect(body.error.details.rows).toEqual([
      { row: 2, field: "id", message: "ok is the id of row 1 already" },
      { row: 3, field: "prompt", message: "give a prompt or messages" },
      { row: 4, field: "temperature", message: "must be a number" },
      { row: 5, field: "temperature", message: expect.stringContaining("2") },
      { row: 6, field: "messages", message: "must be JSON" },
      {
        row: 7,
        field: "",
        message:
          'the row has 2 cells, the header 4; cells are separated by ",", and one that holds that or a line break needs quotes',
      },
      { row: 8, field: "id", message: "must be 1 to 100 of the characters A-Z a-z 0-9 _ - . :" },
      { row: 9, field: "id", message: "b.taken is the id of another task already" },
    ]);
    expect((await app.get("/batches/b")).status).toBe(404);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(2);
  });

  test("lists the first hundred of many bad rows and how many there are", async () => {
    await using app = await startServer();
    givenFile(
      app,
      "bad.csv",
      `id,prompt\n${Array.from({ length: 2500 }, (_, i) => `r${i},\n`).join("")}`,
    );
    const { body } = await app.post("/batches", { inputFile: "bad.csv" });
    expect(body.error.details.rows).toHaveLength(100);
    expect(body.error.details.total).toBe(2500);
  });

  test.each([
    ["../outside.csv", 400, "leads out of the files folder"],
    ["/etc/passwd", 400, "leads out of the files folder"],
    ["a/../../outside.csv", 400, "leads out of the files folder"],
    ["link.csv", 400, "leads out of the files folder"],
    ["folder", 400, "is a folder"],
    [".", 400, "leads out of the files folder"],
    ["file:tasks.csv", 400, "is a URL"],
    ["http://example.com/tasks.csv", 400, "https://"],
    ["tasks.csv\0", 400, "U+0000"],
    ["%2e%2e/outside.csv", 404, "There is no file"],
    ["missing.csv", 404, "There is no file"],
    ["empty.csv", 400, "is empty"],
    ["header.csv", 400, "has no rows"],
    ["gzip.csv", 400, "gzip"],
    ["windows-1251.csv", 400, "not valid UTF-8"],
    ["xls.csv", 400, "an old one (.xls)"],
    ["nul.csv", 400, "NUL bytes in line 2"],
    ["wide-nul.csv", 400, "NUL bytes, so"],
    ["frame.feather", 400, "write it as Parquet"],
    ["secret.parquet", 400, "without encryption"],
    ["open-quote.csv", 400, 'in the row that begins in line 2, in column 1 ("prompt"); close it'],
    ["stray-quote.csv", 400, 'after a closing quote in line 4, in column 2 ("the note")'],
    ["twice.csv", 400, 'column "prompt" appears twice'],
    ["alias.csv", 400, "mean the same"],
  ])("refuses %j", async (inputFile, status, message) => {
    await using app = await startServer();
    writeFileSync(join(app.dir, "outside.csv"), "prompt\nx\n");
    symlinkSync(join(app.dir, "outside.csv"), join(app.filesDir, "link.csv"));
    mkdirSync(join(app.filesDir, "folder"));
    givenFile(app, "empty.csv", "");
    givenFile(app, "header.csv", "id,prompt\n");
    givenFile(app, "gzip.csv", Bun.gzipSync("prompt\nx\n"));
    givenFile(app, "windows-1251.csv", Buffer.from("prompt\n\xcf\xf0\xe8\xe2\xe5\xf2\n", "latin1"));
    givenFile(app, "xls.csv", Buffer.from("d0cf11e0a1b11ae100", "hex"));
    givenFile(app, "nul.csv", "prompt\na\0b\n");
    givenFile(app, "wide-nul.csv", Buffer.from("\uFEFFprompt\na\0b\n", "utf16le"));
    givenFile(app, "frame.feather", "ARROW1\0\0");
    givenFile(app, "secret.parquet", "PARE…PARE");
    givenFile(app, "open-quote.csv", 'prompt\n"never ends\n');
    givenFile(app, "stray-quote.csv", '\n"prompt",the note\nx,\ny,"a"b\n');
    givenFile(app, "twice.csv", "prompt,prompt\nx,y\n");
    givenFile(app, "alias.csv", "prompt,Prompt\nx,y\n");

    const answer = await app.post("/batches", { id: "b", inputFile });
    expect(answer.status).toBe(status);
    expect(answer.body.error.code).toBe(status === 404 ? "FILE_NOT_FOUND" : "VALIDATION_ERROR");
    expect(answer.body.error.message).toContain(message);
    expect(answer.text).not.toContain(app.dir);
    expect((await app.get("/batches/b")).status).toBe(404);
  });

  test("accepts an absolute path in the files folder, and symbolic links that stay in it", async () => {
    await using app = await startServer();
    mkdirSync(join(app.filesDir, "sub"));
    givenFile(app, "sub/t.csv", "prompt\nx\n");
    symlinkSync(join(app.filesDir, "sub/t.csv"), join(app.filesDir, "inside.csv"));
    for (const inputFile of [
      join(app.filesDir, "sub/t.csv"),
      "sub/t.csv",
      "./sub/../sub/t.csv",
      "inside.csv",
    ])
      expect((await app.post("/batches", { inputFile })).status).toBe(201);
  });

  test("needs either tasks or a file", async () => {
    await using app = await startServer();
    for (const body of [{}, { tasks: [{ prompt: "x" }], inputFile: "t.csv" }]) {
      const answer = await app.post("/batches", body);
      expect(answer.body.error.message).toContain("give either tasks, inputFile or inputBatch");
    }
  });
});

describe("results", () => {
  test("are available while the batch runs, by status, and in three formats", async () => {
    await using provider = await startProvider(({ prompt }) =>
      prompt === "slow" ? new Promise(() => {}) : undefined,
    );
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: [
        { id: "1", prompt: "fast", metadata: { k: "v" } },
        { id: "2", prompt: "slow" },
        { id: "3", prompt: "quick" },
      ],
    });
    await app.post("/batches/b/execute");
    await until(async () => {
      const { progress } = (await app.get("/batches/b")).body.data;
      return progress.completed === 2 || undefined;
    });
    expect((await resultsOf(app, "b")).map(({ id, status }) => [id, status])).toEqual([
      ["1", "completed"],
      ["2", "running"],
      ["3", "completed"],
    ]);
    const json = (await app.get("/batches/b/results?format=json&status=completed")).body;
    expect(json).toMatchObject([
      { id: "1", status: "completed", result: "re: fast", metadata: { k: "v" }, attempts: 1 },
      { id: "3", result: "re: quick", usage: { promptTokens: 10, completionTokens: 5 } },
    ]);
    const lines = (await app.get("/batches/b/results?format=jsonl")).text.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(["1", "2", "3"]);
  });

  test("name columns so that no input column is lost", async () => {
    await using app = await startServer();
    givenFile(app, "t.csv", "prompt,status,result\nx,mine,too\n");
    await app.post("/batches", { id: "b", inputFile: "t.csv" });
    const [row] = await resultsOf(app, "b");
    expect(row).toMatchObject({
      status: "mine",
      result: "too",
      task_status: "pending",
      task_result: "",
    });
  });

  test("are complete and in order for thousands of rows", async () => {
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "256" });
    const rows = Array.from({ length: 3000 }, (_, i) => `r${i},p${i}`);
    givenFile(app, "t.csv", `id,prompt\n${rows.join("\n")}\n`);
    await app.post("/batches", { id: "b", inputFile: "t.csv" });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const results = await resultsOf(app, "b");
    expect(results.map(({ id, prompt }) => `${id},${prompt}`)).toEqual(rows);
    expect(results.every(({ prompt, result }) => result === `re: ${prompt}`)).toBe(true);
    expect(provider.requests).toHaveLength(3000);
    expect(await app.differences()).toEqual([]);
  });
});

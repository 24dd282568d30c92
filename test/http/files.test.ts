import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import {
  type Answer,
  type Json,
  KEY,
  startServer,
  type TestServer,
  until,
} from "../support/server.ts";

/** Uploads as `curl -F file=@name` does. */
async function upload(
  app: TestServer,
  name: string,
  content: string | Uint8Array,
): Promise<Answer> {
  const form = new FormData();
  form.append("file", new File([content as BlobPart], name));
  return send(app, form);
}

async function send(app: TestServer, body: BodyInit, headers: Record<string, string> = {}) {
  const response = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${KEY}`, ...headers },
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
}

function stored(app: TestServer): string[] {
  return readdirSync(app.filesDir, { recursive: true })
    .map(String)
    .filter((name) => name.includes("file-"));
}

/** Everything in the files folder but the folder of uploads itself. */
function left(app: TestServer): string[] {
  return readdirSync(app.filesDir, { recursive: true })
    .map(String)
    .filter((name) => name !== ".uploads");
}

describe("an uploaded file", () => {
  test("comes back byte for byte, with its size and checksum, and is listed", async () => {
    await using app = await startServer();
    const bytes = crypto.getRandomValues(new Uint8Array(200_000));
    const { status, body } = await upload(app, 'Übung, "x".bin', bytes);
    expect(status).toBe(201);
    expect(body.data).toMatchObject({
      bytes: 200_000,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
    const { id } = body.data;
    const response = await fetch(`${app.url}/api/v1/files/${id}/content`, {
      headers: { authorization: `Bearer ${KEY}` },
    });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect((await app.get(`/files/${id}`)).body.data).toEqual(body.data);
    expect((await app.get("/files")).body.data).toMatchObject({
      files: [{ id }],
      pagination: { total: 1 },
    });
  });

  test("is gone after its deletion, and the batches made from it stay", async () => {
    await using app = await startServer();
    const { id } = (await upload(app, "t.csv", "prompt\nhello\n")).body.data;
    expect((await app.post("/batches", { id: "b", inputFile: id })).body.data.taskCount).toBe(1);
    expect((await app.del(`/files/${id}`)).status).toBe(200);
    expect(stored(app)).toEqual([]);
    for (const path of [`/files/${id}`, `/files/${id}/content`])
      expect((await app.get(path)).body.error.code).toBe("FILE_NOT_FOUND");
    expect((await app.del(`/files/${id}`)).status).toBe(404);
    expect((await app.post("/batches", { inputFile: id })).body.error.code).toBe("FILE_NOT_FOUND");
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).status).toBe("completed");
  });

  test("can be the input of many batches", async () => {
    await using app = await startServer();
    const { id } = (await upload(app, "t.csv", "prompt\none\ntwo\n")).body.data;
    const made = await Promise.all([1, 2, 3].map(() => app.post("/batches", { inputFile: id })));
    expect(made.map(({ body }) => body.data?.taskCount)).toEqual([2, 2, 2]);
  });

  test("leaves nothing behind if it is too large or breaks off", async () => {
    await using app = await startServer({ MAX_FILE_BYTES: "5000" });
    const tooLarge = await upload(app, "t.csv", "x".repeat(5001));
    expect([tooLarge.status, tooLarge.body.error.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    const broken = await send(
      app,
      '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
      {
        "content-type": "multipart/form-data; boundary=x",
      },
    );
    expect([broken.status, broken.body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
    expect(
      readdirSync(app.filesDir, { recursive: true }).filter((name) => name !== ".uploads"),
    ).toEqual([]);
    expect((await app.get("/files")).body.data.files).toEqual([]);
  });

  test("leaves nothing behind if its sender stalls or disconnects", async () => {
    await using app = await startServer({ BODY_TIMEOUT_SECONDS: "1" });
    const { hostname, port } = new URL(app.url);
    const begin = async () => {
      const socket = connect(Number(port), hostname);
      socket.write(
        `POST /api/v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEY}\r\n` +
          "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n" +
          `--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${"a".repeat(100_000)}`,
      );
      await until(() => left(app).length > 0 || undefined);
      return socket;
    };
    const silent = await begin();
    let answer = "";
    for await (const chunk of silent) if ((answer += String(chunk)).includes("}")) break;
    expect(answer).toContain("408");
    expect(answer).toContain("REQUEST_TIMEOUT");
    await until(() => left(app).length === 0 || undefined);
    (await begin()).destroy();
    await until(() => left(app).length === 0 || undefined);
    expect((await app.get("/files")).body.data.files).toEqual([]);
  });

  test("is refused if there is none", async () => {
    await using app = await startServer();
    const form = new FormData();
    expect((await send(app, form)).body.error.message).toContain("no part `file`");
    for (const name of ["a.csv", "b.csv"]) form.append("file", new Blob(["x"]), name);
    expect((await send(app, form)).body.error.message).toContain("more than once");
    expect(left(app)).toEqual([]);
    form.delete("file");
    form.append("other", "x");
    expect((await send(app, form)).body.error.message).toContain("other: is not a known part");
    expect((await app.post("/files", { file: "x" })).status).toBe(415);
    expect((await send(app, "", { "content-type": "multipart/form-data" })).status).toBe(415);
  });
});

describe("a batch from JSONL", () => {
  test("accepts task objects with all their fields, and variables for templates", async () => {
    await using app = await startServer();
    const lines = [
      {
        id: "one",
        prompt: "Hello",
        model: "gpt-4o",
        temperature: 0.2,
        max_tokens: 5,
        priority: "high",
      },
      { messages: [{ role: "user", content: "Hi" }], metadata: { a: 1 }, parameters: { seed: 7 } },
    ];
    const { id } = (
      await upload(app, "t.jsonl", lines.map((line) => JSON.stringify(line)).join("\r\n"))
    ).body.data;
    expect((await app.post("/batches", { id: "b", inputFile: id })).body.data.taskCount).toBe(2);
    expect((await app.get("/tasks/one")).body.data).toMatchObject({
      model: "gpt-4o",
      temperature: 0.2,
      maxTokens: 5,
      priority: "high",
    });
    expect((await app.get("/tasks/b-2")).body.data).toMatchObject({
      messages: [{ role: "user", content: "Hi" }],
      metadata: { a: 1 },
      parameters: { seed: 7 },
    });
    writeFileSync(join(app.filesDir, "v"), '{"city":"Paris","n":3}\n\n{"city":"Rome","n":4}\n');
    const config = { promptTemplate: "{{n}} sights of {{city}}" };
    await app.post("/batches", { id: "v", inputFile: "v", config });
    expect((await app.get("/tasks/v-3")).body.data.prompt).toBe("4 sights of Rome");
    const unknown = await app.post("/batches", {
      inputFile: "v",
      config: { promptTemplate: "{{x}}" },
    });
    const issue = { path: "config.promptTemplate", message: expect.stringContaining("{{x}}") };
    expect(unknown.body.error.details.issues).toMatchObject([issue]);
  });

  test("sends OpenAI batch lines unchanged, to their own endpoints", async () => {
    await using app = await startServer();
    const bodies = [
      {
        url: "/v1/chat/completions",
        body: { model: "gpt-4o", messages: [{ role: "user", content: "a" }], logprobs: true },
      },
      { url: "/v1/embeddings", body: { model: "text-embedding-3-small", input: "b" } },
      { url: "/v1/responses", body: { model: "gpt-4o", input: "c" } },
      { url: "/v1/completions", body: { model: "gpt-3.5-turbo-instruct", prompt: "d" } },
    ];
    const lines = bodies.map(({ url, body }, i) => ({
      custom_id: `weird id/${i}`,
      method: "POST",
      url,
      body,
    }));
    const { id } = (
      await upload(app, "t.jsonl", lines.map((line) => JSON.stringify(line)).join("\n"))
    ).body.data;
    expect((await app.post("/batches", { id: "b", inputFile: id })).body.data.taskCount).toBe(4);
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress.completed).toBe(4);
    const results = (await app.get("/batches/b/results?format=jsonl")).text.trim().split("\n");
    const parsed: Json[] = results.map((line) => JSON.parse(line));
    expect(
      parsed.map(({ custom_id, method, url, body }) => ({ custom_id, method, url, body })),
    ).toEqual(lines);
    expect(JSON.parse(parsed[1].result).length).toBe(256);
    const patched = await app.patch("/tasks/b-2", { prompt: "x" });
    expect(patched.status).toBe(400);
  });

  test("names every invalid line, and stores nothing", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "taken", prompt: "x" });
    const lines = [
      '{"id":"a","prompt":"fine"}',
      "{not json",
      "[1]",
      '{"id":"a","prompt":"again"}',
      // In a file this is not an error: every id gets the batch's id as a prefix.
      '{"id":"taken","prompt":"x"}',
      '{"prompt":"x","temperature":"warm"}',
      '{"prompt":"x","maxTokens":1,"max_tokens":2}',
      '{"custom_id":"c","method":"GET","url":"https://elsewhere.test/v1","body":{}}',
      "{}",
    ];
    writeFileSync(join(app.filesDir, "t.jsonl"), lines.join("\n"));
    const { status, body } = await app.post("/batches", { inputFile: "t.jsonl" });
    expect(status).toBe(400);
    expect(body.error.details.rows.map(({ row, field }: Json) => `${row} ${field}`)).toEqual([
      "2 ",
      "3 ",
      "4 id",
      "6 temperature",
      "7 max_tokens",
      "8 method",
      "8 url",
      "9 prompt",
    ]);
    expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(1);
  });
});

describe("an output file", () => {
  test("appears complete at the end of its batch, in the format of its name", async () => {
    await using app = await startServer();
    for (const format of ["csv", "jsonl", "json"]) {
      const outputFile = `out/${format}/results.${format}`;
      await app.post("/batches", {
        id: format,
        outputFile,
        tasks: [{ prompt: "a" }, { prompt: "b" }],
      });
      expect((await app.get(`/batches/${format}`)).body.data.output).toBeNull();
      await app.post(`/batches/${format}/execute`);
      await outputOf(app, format, "written");
      const expected = (await app.get(`/batches/${format}/results?format=${format}`)).text;
      expect(readFileSync(join(app.filesDir, outputFile), "utf8")).toBe(expected);
    }
    expect(readdirSync(join(app.filesDir, "out", "csv"))).toEqual(["results.csv"]);
  });

  test("that cannot be written is reported, the results stay, and it can be written later", async () => {
    await using app = await startServer();
    writeFileSync(join(app.filesDir, "blocked"), "a file where a folder should be");
    await app.post("/batches", {
      id: "b",
      outputFile: "blocked/results.csv",
      tasks: [{ prompt: "a" }],
    });
    await app.post("/batches/b/execute");
    const { output } = await outputOf(app, "b", "failed");
    expect(output.error).toContain("a part of its path is a file");
    expect(output.error).not.toContain(app.dir);
    expect((await app.get("/batches/b")).body.data.status).toBe("completed");
    expect((await app.get("/batches/b/results")).text).toContain("completed");
    rmSync(join(app.filesDir, "blocked"));
    expect((await app.post("/batches/b/output")).status).toBe(200);
    await outputOf(app, "b", "written");
  });

  test("is not written through a symbolic link that leads out, nor over the input", async () => {
    await using app = await startServer();
    const outside = join(app.dir, "outside");
    mkdirSync(outside);
    symlinkSync(outside, join(app.filesDir, "link"));
    await app.post("/batches", {
      id: "b",
      outputFile: "link/sub/results.csv",
      tasks: [{ prompt: "a" }],
    });
    await app.post("/batches/b/execute");
    expect((await outputOf(app, "b", "failed")).output.error).toContain(
      "leads out of the files folder",
    );
    expect(readdirSync(outside)).toEqual([]);
    writeFileSync(join(app.filesDir, "in.csv"), "prompt\nx\n");
    for (const outputFile of [
      "in.csv",
      "./in.csv",
      "../x.csv",
      "x.txt",
      "a\0.csv",
      "file:x.csv",
      ".uploads/x.csv",
      "a/../.uploads/file-1.csv",
      "./.Uploads/x.csv",
    ]) {
      const { status, body } = await app.post("/batches", { inputFile: "in.csv", outputFile });
      expect([status, body.error.details.issues[0].path]).toEqual([400, "outputFile"]);
    }
  });

  test("is read by its id, and not by its place in the folder of uploads", async () => {
    await using app = await startServer();
    const { id } = (await upload(app, "in.csv", "prompt\nx\n")).body.data;
    symlinkSync(join(app.filesDir, ".uploads"), join(app.filesDir, "up"));
    for (const inputFile of [
      `.uploads/${id}`,
      `a/../.uploads/${id}`,
      `./.Uploads/${id}`,
      `up/${id}`,
      join(app.filesDir, ".uploads", id),
    ])
      for (const [path, body] of [
        ["/batches", { inputFile }],
        ["/scheduled-tasks", { name: "s", schedule: "0 0 1 1 *", inputFile }],
      ] as const) {
        const answer = await app.post(path, body);
        expect([path, inputFile, answer.status]).toEqual([path, inputFile, 400]);
        for (const part of ["lies in .uploads", "write the id of the upload"])
          expect(answer.body.error.message).toContain(part);
      }
    expect((await app.post("/batches", { inputFile: id })).status).toBe(201);
  });

  test("replaces a link in its place, and is not written through a link made after the request", async () => {
    await using app = await startServer();
    const outside = join(app.dir, "outside.csv");
    writeFileSync(outside, "mine");
    mkdirSync(join(app.filesDir, ".uploads"), { recursive: true });
    for (const [id, outputFile] of [
      ["out", "out/r.csv"],
      ["uploads", "up/r.csv"],
      ["gone", "gone/r.csv"],
      ["file", "file.csv"],
    ])
      await app.post("/batches", { id, outputFile, tasks: [{ prompt: "a" }] });
    symlinkSync(app.dir, join(app.filesDir, "out"));
    symlinkSync(join(app.filesDir, ".uploads"), join(app.filesDir, "up"));
    symlinkSync(join(app.dir, "nowhere"), join(app.filesDir, "gone"));
    symlinkSync(outside, join(app.filesDir, "file.csv"));
    for (const [id, why] of [
      ["out", "leads out of the files folder"],
      ["uploads", "lies in .uploads"],
      ["gone", "could not be written"],
    ]) {
      await app.post(`/batches/${id}/execute`);
      const { output } = await outputOf(app, String(id), "failed");
      expect(output.error).toContain(why);
      expect(output.error).not.toContain(app.dir);
    }
    await app.post("/batches/file/execute");
    await outputOf(app, "file", "written");
    expect(readFileSync(outside, "utf8")).toBe("mine");
    expect(readFileSync(join(app.filesDir, "file.csv"), "utf8")).toContain("completed");
    expect(readdirSync(join(app.filesDir, ".uploads"))).toEqual([]);
  });

  test("is written by the next process if the first was killed before", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", outputFile: "r.csv", tasks: [{ prompt: "a" }] });
    await app.post("/batches/b/execute");
    await outputOf(app, "b", "written");
    await app.ctx.client.execute("UPDATE batches SET output_status = 'writing' WHERE id = 'b'");
    await app.stop();
    await using next = await startServer({ DATA_DIR: app.dir });
    await outputOf(next, "b", "written");
  });
});

function outputOf(app: TestServer, id: string, status: string): Promise<Json> {
  return until(async () => {
    const { data } = (await app.get(`/batches/${id}`)).body;
    return data.output?.status === status ? data : undefined;
  });
}

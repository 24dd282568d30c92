import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { chatAnswer, gate, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";
import { row, workbookOf } from "../support/workbook.ts";

const PNG = Buffer.concat([
  Buffer.from("89504e470d0a1a0a", "hex"),
  Buffer.from("a picture of a cat"),
]);
const PDF = Buffer.from("%PDF-1.7 a contract");
const PHOTO = { column: "photo", type: "image" };
const dataUrl = (type: string, bytes: Buffer) => `data:${type};base64,${bytes.toString("base64")}`;
const [PNG_URL, PDF_URL] = [dataUrl("image/png", PNG), dataUrl("application/pdf", PDF)];

let app: TestServer;
let provider: Awaited<ReturnType<typeof startProvider>>;
let [png, pdf] = ["", ""];
let made = 0;

beforeAll(async () => {
  provider = await startProvider();
  app = await startServer({ ...provider.env, MAX_ATTACHMENT_BYTES: "2000" });
  png = await upload(PNG, "cat.png");
  pdf = await upload(PDF, "contract.pdf");
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function upload(bytes: Buffer, name: string): Promise<string> {
  const form = new FormData();
  form.set("file", new File([new Uint8Array(bytes)], name));
  const response = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: "Bearer test-key" },
    body: form,
  });
  const { data }: Json = await response.json();
  return data.id;
}

function put(content: string | Uint8Array, extension: string): string {
  const name = `t${made++}.${extension}`;
  writeFileSync(join(app.filesDir, name), content);
  return name;
}

/** Creates a batch, or returns the error if it is refused. */
async function create(fields: object, attachments: object[] = [PHOTO], config: object = {}) {
  const id = `b${made++}`;
  const { status, body } = await app.post("/batches", {
    id,
    ...fields,
    config: { attachments, ...config },
  });
  return status === 201 ? { id, error: undefined } : { id, error: body.error };
}

/** The requests to the provider for the tasks of a batch, in their order. */
async function sentFor(id: string): Promise<Json[]> {
  const before = provider.requests.length;
  await app.post(`/batches/${id}/execute`);
  const { progress, tasks } = await app.finished(id);
  expect([progress.completed, tasks.map(({ error }: Json) => error?.message)]).toEqual([
    progress.total,
    tasks.map(() => undefined),
  ]);
  const of = ({ body }: Json) => body.messages.at(-1).content;
  const text = (content: Json) => (typeof content === "string" ? content : content[0].text);
  return provider.requests
    .slice(before)
    .map(of)
    .toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

const asked = (prompt: string, ...urls: string[]) => [
  { type: "text", text: prompt },
  ...urls.map((url) => ({ type: "image_url", image_url: { url } })),
];

describe("attachments", () => {
  test("of a CSV are sent as images, for every form of reference in a cell", async () => {
    const { id } = await create({
      inputFile: put(
        `prompt,photo\nq1,${png}\nq2,"${PNG_URL}"\nq3,https://example.org/a.png\nq4,\nq5,upload:${png}\nq6,http://example.org/b.gif\n`,
        "csv",
      ),
    });
    expect(await sentFor(id)).toEqual([
      asked("q1", PNG_URL),
      asked("q2", PNG_URL),
      asked("q3", "https://example.org/a.png"),
      "q4",
      asked("q5", PNG_URL),
      asked("q6", "http://example.org/b.gif"),
    ]);
  });

  test("are sent as documents, with a name", async () => {
    const { id } = await create(
      {
        tasks: [
          { prompt: "q1", metadata: { doc: pdf } },
          { prompt: "q2", metadata: { doc: PDF_URL } },
          { prompt: "q3", metadata: { doc: "https://example.org/x/offer.pdf?v=1" } },
        ],
      },
      [{ column: "doc", type: "file" }],
    );
    const part = (filename: string, url: string) => ({
      type: "file",
      file: { filename, file_data: url },
    });
    expect(await sentFor(id)).toEqual([
      [{ type: "text", text: "q1" }, part("contract.pdf", PDF_URL)],
      [{ type: "text", text: "q2" }, part("doc.pdf", PDF_URL)],
      [{ type: "text", text: "q3" }, part("offer.pdf", "https://example.org/x/offer.pdf?v=1")],
    ]);
  });

  test("can come from workbooks, JSON and JSONL, and go to the last message of the user", async () => {
    const template = { promptTemplate: "see {{name}}", systemPrompt: "be brief" };
    const files = [
      put(await workbookOf(row(1, "name", "photo") + row(2, "a", png)), "xlsx"),
      put(JSON.stringify([{ name: "a", photo: png }]), "json"),
      put(`{"name":"a","photo":"${png}"}\n`, "jsonl"),
    ];
    for (const inputFile of files) {
      const { id } = await create({ inputFile }, [PHOTO], template);
      expect(await sentFor(id)).toEqual([asked("see a", PNG_URL)]);
    }
    const messages = [
      { role: "user", content: [{ type: "text", text: "first" }] },
      { role: "assistant", content: "and?" },
      { role: "user", content: [{ type: "text", text: "last" }] },
    ];
    const { id } = await create({ tasks: [{ messages, metadata: { photo: png } }] });
    expect(await sentFor(id)).toEqual([asked("last", PNG_URL)]);
  });

  test("are stored as references, without their bytes", async () => {
    await create({ tasks: [{ id: "ref", prompt: "q", metadata: { photo: png } }] });
    const { data } = (await app.get("/tasks/ref")).body;
    const sha256 = createHash("sha256").update(PNG).digest("hex");
    expect(data.messages[0].content[1].image_url.url).toBe(
      `upload:${png}?type=image/png&bytes=${PNG.length}&sha256=${sha256}`,
    );
    expect(data.prompt).toBe("q");
  });

  test("can be given in the messages of single tasks, and survive a change of the prompt", async () => {
    const content = [
      { type: "text", text: "look" },
      { type: "image_url", image_url: { url: `upload:${png}` } },
      { type: "file", file: { file_data: `upload:${pdf}` } },
    ];
    const made = await app.post("/tasks", {
      id: "single",
      prompt: "look",
      messages: [{ role: "user", content }],
    });
    expect(made.status).toBe(201);
    expect((await app.patch("/tasks/single", { prompt: "look again" })).status).toBe(200);
    await app.post("/tasks/single/execute");
    expect((await app.ended("single")).status).toBe("completed");
    expect(provider.requests.at(-1)?.body.messages).toEqual([
      {
        role: "user",
        content: [
          ...asked("look again", PNG_URL),
          { type: "file", file: { filename: "contract.pdf", file_data: PDF_URL } },
        ],
      },
    ]);
    const refused = await app.post("/tasks", {
      messages: [
        { role: "user", content: [{ type: "image_url", image_url: { url: "upload:file-0" } }] },
      ],
    });
    expect(refused.body.error.message).toContain("there is no upload file-0");
  });

  test("of batch lines are sent in the parts of their endpoints", async () => {
    const line = (url: string, body: object) =>
      JSON.stringify({ custom_id: url, method: "POST", url, body: { model: "m", ...body } });
    const image = { type: "input_image", image_url: `upload:${png}` };
    const file = { type: "input_file", file_data: `upload:${pdf}` };
    const lines = [line("/v1/responses", { input: [{ role: "user", content: [image, file] }] })];
    const inputFile = put(lines.join("\n"), "jsonl");
    const made = await app.post("/batches", { id: "lines", inputFile, config: { maxRetries: 0 } });
    expect(made.status).toBe(201);
    await app.post("/batches/lines/execute");
    await app.finished("lines");
    expect(provider.requests.at(-1)?.body.input[0].content).toEqual([
      { type: "input_image", image_url: PNG_URL },
      { type: "input_file", file_data: PDF_URL, filename: "contract.pdf" },
    ]);
    expect((await create({ inputFile })).error.message).toContain(
      "config.attachments does not apply",
    );
  });

  test("share one cached answer for the same bytes under two ids", async () => {
    const twin = await upload(PNG, "other.png");
    const cell = (id: string) => ({ prompt: "same", metadata: { photo: id } });
    const first = await create({ tasks: [cell(png)] }, [PHOTO], { cache: true });
    await sentFor(first.id);
    const second = await create({ tasks: [cell(twin), cell(PNG_URL)] }, [PHOTO], { cache: true });
    await app.post(`/batches/${second.id}/execute`);
    // With a data URL it is a different request.
    expect((await app.finished(second.id)).progress.cached).toBe(1);
    const based = await create({ tasks: [cell(twin)], baseBatch: first.id });
    expect((await app.get(`/batches/${based.id}`)).body.data.reused).toBe(1);
    const tasks = [cell(png), cell(twin), cell(PNG_URL), { prompt: "none" }, { prompt: "none" }];
    for (const config of [{}, { cache: true }]) {
      const { id } = await create({ tasks }, [PHOTO], config);
      const { data } = (await app.get(`/batches/${id}/estimate`)).body;
      expect(data.differentRequests).toBe(3);
    }
  });

  test("that failed come back with format=input, and are not attached twice", async () => {
    const { id } = await create({ tasks: [{ prompt: "again", metadata: { photo: png } }] });
    const inputFile = put((await app.get(`/batches/${id}/results?format=input`)).text, "jsonl");
    const again = await create({ inputFile }, [{ column: "model", type: "image" }]);
    expect(again.error.message).toContain("is not a URL");
    const { body } = await app.post("/batches", { id: "again", inputFile });
    expect(body.success).toBe(true);
    expect(await sentFor("again")).toEqual([asked("again", PNG_URL)]);
  });

  test("of a schedule's file are sent", async () => {
    const inputFile = put(`prompt,photo\nscheduled,${png}\n`, "csv");
    const { body } = await app.post("/scheduled-tasks", {
      name: "photos",
      schedule: "0 0 1 1 *",
      inputFile,
      outputFile: "photos-{{runId}}.csv",
      config: { attachments: [PHOTO] },
    });
    await app.post(`/scheduled-tasks/${body.data.id}/run`);
    const request = await until(() =>
      provider.requests.find(({ text }) => text.includes('"scheduled"')),
    );
    expect(request.body.messages.at(-1).content).toEqual(asked("scheduled", PNG_URL));
  });
});

describe("an invalid attachment", () => {
  test.each([
    ["cat.png", "is not a URL; give the id of an upload (file-…, see POST /files)"],
    ["ftp://x.org/a.png", '"ftp:" is not a scheme that can be attached'],
    ["file:///etc/passwd", '"file:" is not a scheme'],
    ["javascript:alert(1)", "is not a scheme"],
    ["upload:../../etc/passwd", "names no upload"],
    ["file-nothere", "there is no upload file-nothere; upload the file first"],
    ["data:text/plain;base64,YQ==", "is not an image"],
    ["data:image/png,abc", "must begin as data:image/png;base64, does"],
    ["data:image/png;base64,", "is not base64, or nothing"],
    ["data:image/png;base64,a b", "is not base64"],
  ])("is %j, which is refused by row and column", async (cell, why) => {
    const { id, error } = await create({
      inputFile: put(`prompt,photo\nq,${png}\nq,"${cell}"\n`, "csv"),
    });
    expect(error.details.rows).toHaveLength(1);
    expect(error.details.rows[0]).toMatchObject({ row: 2, field: "photo" });
    expect(error.details.rows[0].message).toContain(why);
    expect((await app.get(`/batches/${id}`)).status).toBe(404);
  });

  test("is a document as an image, an empty file, or more than MAX_ATTACHMENT_BYTES", async () => {
    const [empty, large] = [
      await upload(Buffer.alloc(0), "empty.png"),
      await upload(Buffer.concat([PNG, Buffer.alloc(1970)]), "large.png"),
    ];
    const two = [PHOTO, { column: "more", type: "image" }];
    const { error } = await create(
      { inputFile: put(`prompt,photo,more\nq,${pdf},\nq,${empty},\nq,${large},${png}\n`, "csv") },
      two,
    );
    expect(error.details.rows.map(({ row: number, field }: Json) => [number, field])).toEqual([
      [1, "photo"],
      [2, "photo"],
      [3, "more"],
    ]);
    const messages = error.details.rows.map(({ message }: Json) => message).join("\n");
    expect(messages).toContain("(contract.pdf) is not a PNG, JPEG, GIF or WebP");
    expect(messages).toContain("(empty.png) is empty");
    expect(messages).toContain("2000 are the most (MAX_ATTACHMENT_BYTES)");
  });

  test("is one of an unknown column, or for messages without one of the user", async () => {
    const table = await create({ inputFile: put("prompt,foto\nq,\n", "csv") });
    expect(table.error.message).toContain("there is no column photo; there are prompt, foto");
    const lines = await create({ inputFile: put('{"prompt":"q","foto":"x"}\n', "jsonl") });
    expect(lines.error.message).toContain("no row has a value for photo");
    const messages = [{ role: "system", content: "s" }];
    const tasks = await create({ tasks: [{ messages, metadata: { photo: png } }] });
    expect(tasks.error.message).toContain("has no message of the user");
  });
});

describe("an upload that is gone when its row is called", () => {
  test("fails that row permanently, and no other", async () => {
    const gone = await upload(PNG, "gone.png");
    const { id } = await create({ inputFile: put(`prompt,photo\na,${gone}\nb,${png}\n`, "csv") });
    await app.del(`/files/${gone}`);
    await app.post(`/batches/${id}/execute`);
    const { progress, tasks } = await app.finished(id);
    expect(progress).toMatchObject({ completed: 1, failed: 1 });
    expect(tasks[0].error).toMatchObject({ code: "ATTACHMENT_MISSING", retryable: false });
    expect(tasks[0].error.message).toContain(`upload ${gone} is not there any more`);
    const { data } = (await app.get(`/tasks/${tasks[0].id}`)).body;
    expect(data.attempts).toBe(1);
  });

  test("or has other bytes is not sent", async () => {
    const changed = await upload(PNG, "changed.png");
    const { id } = await create({ tasks: [{ prompt: "q", metadata: { photo: changed } }] });
    for (const bytes of ["other bytes", Buffer.concat([PNG, PNG])]) {
      writeFileSync(join(app.filesDir, ".uploads", changed), bytes);
      await app.post(`/batches/${id}/${bytes === "other bytes" ? "execute" : "retry"}`);
      const { tasks } = await app.finished(id);
      expect(tasks[0].error.message).toContain("is not what it was when the task was created");
    }
    rmSync(join(app.filesDir, ".uploads", changed));
    writeFileSync(join(app.filesDir, ".uploads", changed), PNG);
    await app.post(`/batches/${id}/retry`);
    expect((await app.finished(id)).progress.completed).toBe(1);
  });

  test("does not open the breaker of the provider", async () => {
    const gone = await upload(PNG, "gone.png");
    const tasks = Array.from({ length: 20 }, () => ({ prompt: "q", metadata: { photo: gone } }));
    const { id } = await create({ tasks });
    await app.del(`/files/${gone}`);
    await app.post(`/batches/${id}/execute`);
    expect((await app.finished(id)).progress.failed).toBe(20);
    const { data } = (await app.get("/status/services/openai")).body;
    expect(data.details.breaker).toBe("closed");
  });

  test("can be deleted while its call is in flight, which continues", async () => {
    const used = await upload(PNG, "used.png");
    const asking = gate();
    provider.state.behave = async (request) => {
      await asking.opened;
      return chatAnswer(request);
    };
    const { id } = await create({ tasks: [{ prompt: "held", metadata: { photo: used } }] });
    await app.post(`/batches/${id}/execute`);
    await until(() => provider.requests.some(({ text }) => text.includes('"held"')));
    await app.del(`/files/${used}`);
    asking.open();
    provider.state.behave = () => undefined;
    expect((await app.finished(id)).progress.completed).toBe(1);
  });
});

import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";

import OpenAI, { toFile } from "openai";

import { expireBatches } from "../../src/services/batch-moves.ts";
import { refusal } from "../support/openai.ts";
import { gate, hang, startProvider } from "../support/provider.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

/*
 * The statuses that a batch has only for a moment. The work that ends each is held, so that clients can see it.
 */

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let openai: OpenAI;
let second: ReturnType<typeof gate>;

beforeAll(async () => {
  provider = await startProvider(async ({ prompt }) => {
    if (prompt === "second") await second.opened;
    return prompt === "third" ? hang() : undefined;
  });
  app = await startServer({ ...provider.env, MAX_BATCH_BYTES: "20000" });
  openai = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 0 });
});
beforeEach(() => {
  second = gate();
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const CHAT = "/v1/chat/completions";

async function upload(prompts: string[]): Promise<string> {
  const lines = prompts.map((prompt) =>
    JSON.stringify({
      custom_id: prompt.slice(0, 100),
      method: "POST",
      url: CHAT,
      body: { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] },
    }),
  );
  const file = await toFile(Buffer.from(lines.join("\n")), "in.jsonl");
  return (await openai.files.create({ file, purpose: "batch" })).id;
}

/** A running batch whose first line is answered; the second is when `second` is opened, the third never. */
async function startThree(): Promise<string> {
  const { id } = await openai.batches.create({
    input_file_id: await upload(["first", "second", "third"]),
    endpoint: CHAT,
    completion_window: "24h",
  });
  await reaches(id, ({ request_counts: counts }) => counts?.completed === 1);
  return id;
}

function reaches(id: string, when: (batch: OpenAI.Batch) => boolean): Promise<OpenAI.Batch> {
  return until(async () => {
    const batch = await openai.batches.retrieve(id);
    return when(batch) ? batch : undefined;
  });
}

const has = (status: OpenAI.Batch["status"]) => (batch: OpenAI.Batch) => batch.status === status;

async function idsIn(file: string | undefined): Promise<string[]> {
  const text = await (await openai.files.content(file ?? "none")).text();
  return text.match(/(?<="custom_id":")\w+/g) ?? [];
}

/** Holds the commits that cancel tasks until `release` is called. */
function holdSweeps(): { release: () => void } {
  const { writer } = app.ctx;
  const { write } = writer;
  const { opened, open } = gate();
  writer.write = async (unit, options) => {
    if ("unqueued" in unit && "cancelled" in unit) await opened;
    return write(unit, options);
  };
  return {
    release() {
      writer.write = write;
      open();
    },
  };
}

const UNSET = {
  completed_at: null,
  failed_at: null,
  expired_at: null,
  cancelled_at: null,
  errors: null,
};

test("a batch is cancelling until its last line has ended, and an answer of that time is in its output", async () => {
  const id = await startThree();
  const sweeps = holdSweeps();
  const cancelled = openai.batches.cancel(id);
  const cancelling = await reaches(id, has("cancelling"));
  expect(cancelling).toMatchObject({
    ...UNSET,
    finalizing_at: null,
    output_file_id: null,
    error_file_id: null,
    request_counts: { total: 3, completed: 1, failed: 0 },
  });
  expect(cancelling.cancelling_at).toBeGreaterThanOrEqual(cancelling.in_progress_at ?? Infinity);
  // A second cancellation changes nothing.
  expect(await openai.batches.cancel(id)).toEqual(cancelling);
  expect(await idsIn(`file-output-${id}`)).toEqual(["first"]);

  second.open();
  await reaches(id, ({ request_counts: counts }) => counts?.completed === 2);
  sweeps.release();
  await cancelled;
  const batch = await reaches(id, has("cancelled"));
  expect(batch).toMatchObject({
    finalizing_at: null,
    completed_at: null,
    expired_at: null,
    cancelling_at: cancelling.cancelling_at,
    request_counts: { total: 3, completed: 2, failed: 1 },
  });
  expect(batch.cancelled_at).toBeGreaterThanOrEqual(batch.cancelling_at ?? Infinity);
  expect(await idsIn(batch.output_file_id)).toEqual(["first", "second"]);
  expect(await idsIn(batch.error_file_id)).toEqual(["third"]);
});

test("a batch is finalizing while an expired window ends it, and expires only then", async () => {
  const id = await startThree();
  const sweeps = holdSweeps();
  const { client } = app.ctx;
  await client.execute({ sql: "UPDATE batches SET deadline_at = 1 WHERE id = ?", args: [id] });
  const expiring = expireBatches(app.ctx);
  const finalizing = await reaches(id, has("finalizing"));
  expect(finalizing).toMatchObject({
    ...UNSET,
    cancelling_at: null,
    output_file_id: null,
    request_counts: { total: 3, completed: 1, failed: 0 },
  });
  expect(finalizing.finalizing_at).toBeGreaterThanOrEqual(finalizing.in_progress_at ?? Infinity);
  expect((await refusal(openai.batches.cancel(id))).error).toMatchObject({
    message: "Cannot cancel a batch with status 'finalizing'.",
  });

  sweeps.release();
  await expiring;
  const batch = await openai.batches.retrieve(id);
  expect(batch).toMatchObject({
    status: "expired",
    finalizing_at: finalizing.finalizing_at,
    completed_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 3, completed: 1, failed: 2 },
  });
  expect(batch.expired_at).toBeGreaterThanOrEqual(batch.finalizing_at ?? Infinity);
  expect(await idsIn(batch.error_file_id)).toEqual(["second", "third"]);
});

test("a batch is finalizing while its output file of /api/v1 is written, and completed after that", async () => {
  const inputFile = await upload(["one", "two"]);
  const { fileStore } = app.ctx;
  const { opened, open } = gate();
  app.ctx.fileStore = {
    ...fileStore,
    async write(...args) {
      await opened;
      await fileStore.write(...args);
    },
  };
  await app.post("/batches", { id: "written", inputFile, outputFile: "out.csv" });
  await app.post("/batches/written/execute");
  const finalizing = await reaches("written", has("finalizing"));
  expect(finalizing).toMatchObject({
    ...UNSET,
    cancelling_at: null,
    request_counts: { total: 2, completed: 2, failed: 0 },
  });
  expect(finalizing.finalizing_at).toBeGreaterThanOrEqual(finalizing.in_progress_at ?? Infinity);
  const refused = await refusal(openai.batches.cancel("written"));
  expect(refused.error).toMatchObject({
    message: "Cannot cancel a batch with status 'finalizing'.",
  });

  open();
  const batch = await reaches("written", has("completed"));
  app.ctx.fileStore = fileStore;
  expect(batch).toMatchObject({
    finalizing_at: finalizing.finalizing_at,
    request_counts: { total: 2, completed: 2, failed: 0 },
    error_file_id: null,
  });
  expect(batch.completed_at).toBeGreaterThanOrEqual(batch.finalizing_at ?? Infinity);
  expect(await idsIn(batch.output_file_id)).toEqual(["one", "two"]);
});

test("a batch fails if its file is deleted before or while it is checked, and says so", async () => {
  const { fileStore } = app.ctx;
  for (const when of ["before", "while"] as const) {
    const input = await upload(["one"]);
    app.ctx.fileStore = {
      ...fileStore,
      async toDisk(name) {
        if (when === "before") await openai.files.delete(input);
        const file = await fileStore.toDisk(name);
        if (when === "while") await openai.files.delete(input);
        return file;
      },
    };
    const { id } = await openai.batches.create({
      input_file_id: input,
      endpoint: CHAT,
      completion_window: "24h",
    });
    const batch = await reaches(id, ({ status }) => status !== "validating");
    expect(batch).toMatchObject({
      status: "failed",
      input_file_id: input,
      request_counts: { total: 0, completed: 0, failed: 0 },
      errors: { data: [{ code: "file_not_found", line: null, param: null }] },
    });
    expect(batch.failed_at).toBeGreaterThanOrEqual(batch.created_at);
  }
  app.ctx.fileStore = fileStore;
});

test("a batch whose requests take more than the server allows fails as a whole", async () => {
  const { id } = await openai.batches.create({
    input_file_id: await upload(["x".repeat(20_000)]),
    endpoint: CHAT,
    completion_window: "24h",
  });
  const { errors } = await reaches(id, has("failed"));
  expect(errors?.data).toMatchObject([
    { code: "invalid_request", line: null, message: expect.stringContaining("MAX_BATCH_BYTES") },
  ]);
});

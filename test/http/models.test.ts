import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { json } from "node:stream/consumers";

import { LIST_DATE } from "../../src/domain/price-list/list.ts";
import { orCrash } from "../../src/lib/background.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { temporaryFolder } from "../support/process.ts";
import { chatAnswer, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

/** A provider that lists these models. It answers for any model and adds it to `sent`, or has none if that is missing. */
async function startList(models: object[], sent?: string[]) {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: Json = await json(request);
    sent?.push(body.model);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(chatAnswer({ prompt: "x", body })));
  }
  const server = createServer((request, response) => {
    if (request.method === "POST" && sent)
      return orCrash(createSystemClock(), answer(request, response));
    if (request.method === "POST") {
      const message = "The model does not exist or you do not have access to it.";
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message, code: "model_not_found" } }));
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ object: "list", data: models }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const LISTED = [
  { id: "gpt-4o-mini", created: 1_721_172_741 },
  { id: "llama3.2:latest", max_model_len: 8192, created: "lately" },
];

test("a model that the provider does not have fails with similar names", async () => {
  await using provider = await startList(LISTED);
  await using app = await startServer({ OPENAI_BASE_URL: provider.url });
  const task = { prompt: "x", model: "gpt-4o-mimi" };
  const { body } = await app.post("/tasks?execute=true", task, { prefer: "wait=20" });
  expect(body.data.error).toMatchObject({
    code: "PROVIDER_NOT_FOUND",
    message: expect.stringMatching(/does not exist.*did you mean gpt-4o-mini\?$/),
  });
});

describe("GET /models", () => {
  test("returns the provider's models, with price, its date and source, and the size of the context", async () => {
    await using provider = await startList(LISTED);
    await using app = await startServer({ OPENAI_BASE_URL: provider.url, ROLE: "api" });

    const { models, priceList } = (await app.get("/models")).body.data;

    expect(models).toMatchObject([
      {
        id: "gpt-4o-mini",
        provider: "openai",
        isListed: true,
        contextSize: 128_000,
        price: {
          input: 0.15,
          cachedInput: 0.075,
          output: 0.6,
          source: expect.stringContaining("https://"),
          date: LIST_DATE,
        },
      },
      { id: "llama3.2:latest", contextSize: 8192, price: null },
    ]);
    expect(priceList.date).toBe(LIST_DATE);

    // The other API has the time of the provider's list, and 0, which clients read as a number, for what has none.
    const { data } = (await app.get(`${app.url}/v1/models`)).body;
    expect(data).toEqual([
      { id: "gpt-4o-mini", object: "model", created: 1_721_172_741, owned_by: "openai" },
      { id: "llama3.2:latest", object: "model", created: 0, owned_by: "openai" },
    ]);
  });

  test("prices of PRICES_FILE override the list's, and an unknown provider is an error", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "prices.json");
    writeFileSync(path, JSON.stringify({ "gpt-4o*": { input: 7, output: 8 } }));
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, PRICES_FILE: path });
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { prefer: "wait=20" });
    const { result } = (await app.get("/tasks/t")).body.data;
    const { promptTokens, completionTokens } = result.usage;
    expect(result.costUsd).toBeCloseTo((promptTokens * 7 + completionTokens * 8) / 1e6, 12);
    const { models } = (await app.get("/models")).body.data;
    const own = models.find(({ id }: Json) => id === "gpt-4o-mini");
    expect(own.price).toEqual({ input: 7, output: 8, source: "configuration", date: null });

    const { status, body } = await app.get("/models?provider=opnai");
    expect(status).toBe(400);
    expect(body.error.message).toBe('provider: there is no provider "opnai"; there is openai');
  });
});

test("the refusal of a model contains similar names", async () => {
  await using provider = await startList([{ id: "gpt-4o-mini" }, { id: "gpt-4.1" }]);
  await using app = await startServer({
    OPENAI_BASE_URL: provider.url,
    ALLOWED_MODELS: "gpt-4o-mini, gpt-4.1",
    ROLE: "api",
  });
  const { body } = await app.post("/tasks", { prompt: "x", model: "gpt-4o-mni" });
  expect(body.error.message).toContain("did you mean gpt-4o-mini?");
  const batch = await app.post("/batches", { tasks: [{ prompt: "x", model: "gpt-4o-mni" }] });
  expect(batch.text).toContain("did you mean gpt-4o-mini?");
});

test("the list of a provider forbids no model: each is sent as it is named", async () => {
  const sent: string[] = [];
  const listed = ["gpt-4o-2024-08-06", "models/gemini-2.5-flash", "llama3.2:latest"];
  await using provider = await startList(
    listed.map((id) => ({ id })),
    sent,
  );
  await using app = await startServer({ OPENAI_BASE_URL: provider.url });
  const models = ["prod-gpt4o", "gemini-2.5-flash", "llama3.2", "openai/gpt-4o:nitro"];
  await app.post("/batches", { id: "b", tasks: models.map((model) => ({ prompt: "x", model })) });
  await app.post("/batches/b/execute");
  expect((await app.finished("b")).progress).toMatchObject({ completed: 4, failed: 0 });
  expect(sent.toSorted()).toEqual(models.toSorted());
});

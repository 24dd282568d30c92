import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { temporaryFolder } from "../support/process.ts";
import { type Behaviour, fail, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

const wait = { prefer: "wait=20" };

/** Refuses a parameter for one model, as OpenAI words it. */
const refusing =
  (model: string, param: string): Behaviour =>
  ({ body }, response) =>
    body.model === model && param in body
      ? fail(response, 400, {
          message: `Unsupported parameter: '${param}' is not supported with this model.`,
          param,
          code: "unsupported_parameter",
        })
      : undefined;

describe("a refused parameter", () => {
  test("is remembered for the model at that provider, and for no other model and no other provider", async () => {
    await using one = await startProvider(refusing("picky", "temperature"));
    await using two = await startProvider();
    using folder = temporaryFolder();
    const path = join(folder.path, "providers.json");
    const providers = [
      { name: "one", baseUrl: one.url, models: ["picky", "plain"] },
      { name: "two", baseUrl: two.url, models: ["*"] },
    ];
    writeFileSync(path, JSON.stringify({ providers }));
    await using app = await startServer({ PROVIDERS_FILE: path, DEFAULT_MODEL: "plain" });
    const run = async (model: string) => {
      const asked = { prompt: "x", model, temperature: 0.5 };
      const { data } = (await app.post("/tasks?execute=true", asked, wait)).body;
      expect(data.status).toBe("completed");
      return (await app.get(`/executions/${data.executionId}`)).body.data;
    };
    const sent = ({ requests }: typeof one) =>
      requests.splice(0).map(({ body }) => [body.model, body.temperature]);

    expect((await run("picky")).adjusted).toEqual(["temperature omitted"]);
    expect(sent(one)).toEqual([
      ["picky", 0.5],
      ["picky", undefined],
    ]);
    // From now on it is omitted at once, and each execution says so.
    expect((await run("picky")).adjusted).toEqual(["temperature omitted"]);
    expect(sent(one)).toEqual([["picky", undefined]]);
    // Another model of the same provider takes it.
    expect((await run("plain")).adjusted).toEqual([]);
    expect(sent(one)).toEqual([["plain", 0.5]]);
    // The same model at another provider takes it, too.
    one.state.behave = (_request, response) => void response.socket?.destroy();
    const elsewhere = await run("picky");
    expect(elsewhere).toMatchObject({ provider: "two", adjusted: [] });
    expect(sent(two)).toEqual([["picky", 0.5]]);
  });
});

/** Fields of messages that servers define beside OpenAI's own. */
const MESSAGES = [
  {
    role: "system",
    content: [{ type: "text", text: "long", cache_control: { type: "ephemeral" } }],
    cache_control: { type: "ephemeral", ttl: "1h" },
  },
  { role: "user", content: "first", provider_options: { a: [1, 2.5, null] } },
  {
    role: "assistant",
    content: "answer",
    reasoning_content: "because",
    reasoning_details: [{ type: "reasoning.encrypted", data: "AA==" }],
    annotations: [{ type: "url_citation", url_citation: { url: "https://example.com" } }],
    prefix: true,
  },
  { role: "assistant", content: null, reasoning_content: "only thoughts" },
  { role: "user", content: "re: x" },
];

test("message fields that OpenAI does not define are sent as they came, however the request came", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  const body = { model: "m", messages: MESSAGES };
  await app.post("/tasks?execute=true", body, wait);
  await app.post("/batches", { id: "inline", tasks: [body] });
  const file = new FormData();
  const line = { custom_id: "a", method: "POST", url: "/v1/chat/completions", body };
  const lines = [JSON.stringify(line), JSON.stringify(body)];
  file.append("file", new Blob([lines.join("\n")]), "lines.jsonl");
  const upload = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: "Bearer test-key" },
    body: file,
  });
  const inputFile = (await upload.json()).data.id;
  await app.post("/batches", { id: "lines", inputFile });
  for (const id of ["inline", "lines"]) {
    await app.post(`/batches/${id}/execute`);
    expect((await app.finished(id)).progress).toMatchObject({ failed: 0 });
  }
  await app.post(`${app.url}/v1/chat/completions`, body);
  expect(provider.requests.map(({ body: { messages } }: Json) => messages)).toEqual(
    Array.from({ length: 5 }, () => MESSAGES),
  );
});

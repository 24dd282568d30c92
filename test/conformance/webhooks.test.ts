import { afterAll, beforeAll, expect, test } from "bun:test";

import OpenAI, { toFile } from "openai";

import { expireBatches } from "../../src/services/batch-moves.ts";
import { refusal } from "../support/openai.ts";
import { fail, gate, startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

let app: TestServer;
let openai: OpenAI;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let provider: Awaited<ReturnType<typeof startProvider>>;

beforeAll(async () => {
  [receiver, provider] = await Promise.all([startReceiver(), startProvider()]);
  app = await startServer({ ...provider.env, WEBHOOK_ALLOWED_HOSTS: "127.0.0.1" });
  openai = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await Promise.all([receiver[Symbol.asyncDispose](), provider[Symbol.asyncDispose]()]);
});

const CHAT = "/v1/chat/completions";
const LINE = JSON.stringify({
  custom_id: "a",
  method: "POST",
  url: CHAT,
  body: { model: "gpt-4o-mini", messages: [{ role: "user", content: "x" }] },
});

async function batchOf(content: string): Promise<string> {
  const file = await toFile(Buffer.from(content), "in.jsonl");
  const { id } = await openai.files.create({ file, purpose: "batch" });
  const batch = { input_file_id: id, endpoint: CHAT, completion_window: "24h" } as const;
  return (await openai.batches.create(batch)).id;
}

test("an endpoint receives the ends of batches in a form that the SDK unwraps", async () => {
  const { signing_secret: secret, ...made } = await openai.webhooks.create({
    url: receiver.url,
    name: "mine",
    event_types: ["batch.completed", "batch.failed"],
  });
  expect(made).toMatchObject({ object: "webhook_endpoint", name: "mine" });
  expect(made.signing_secret_hint).toBe(`…${secret.slice(-4)}`);
  await app.post("/batches", { id: "inline", tasks: [{ prompt: "x" }] });
  await app.post("/batches/inline/execute");
  await app.finished("inline");
  const good = await batchOf(LINE);
  const bad = await batchOf("{");
  await until(() => receiver.received.length >= 2);
  const events = await Promise.all(
    receiver.received.map(({ raw, headers }) => openai.webhooks.unwrap(raw, headers, secret)),
  );
  const facts = events.map((event) => [event.type, "id" in event.data ? event.data.id : ""]);
  expect(facts.toSorted()).toEqual([
    ["batch.completed", good],
    ["batch.failed", bad],
  ]);
  expect(Object.keys(events[0] ?? {}).toSorted()).toEqual([
    "created_at",
    "data",
    "id",
    "object",
    "type",
  ]);
  await expect(
    openai.webhooks.unwrap(
      receiver.received[0]?.raw ?? "",
      receiver.received[0]?.headers ?? {},
      "whsec_d3Jvbmc=",
    ),
  ).rejects.toBeInstanceOf(OpenAI.InvalidWebhookSignatureError);
});

test("an endpoint receives only the events that it names, such as those of expired and cancelled batches", async () => {
  const before = receiver.received.length;
  const made = await openai.webhooks.create({
    url: receiver.url,
    name: "early ends",
    event_types: ["batch.expired", "batch.cancelled"],
  });
  const { opened, open } = gate();
  provider.state.behave = async () => {
    await opened;
    return undefined;
  };
  const [late, left] = [await batchOf(LINE), await batchOf(LINE)];
  for (const id of [late, left])
    await until(async () => (await openai.batches.retrieve(id)).status === "in_progress");
  await app.ctx.client.execute({
    sql: "UPDATE batches SET deadline_at = 1 WHERE id = ?",
    args: [late],
  });
  await expireBatches(app.ctx);
  await openai.batches.cancel(left);
  open();
  provider.state.behave = () => undefined;
  await until(() => receiver.received.length >= before + 2);
  const completed = await batchOf(LINE);
  await until(() => JSON.stringify(receiver.received.at(-1)?.raw).includes(completed));

  const facts = await Promise.all(
    receiver.received.slice(before).map(({ raw, headers }) =>
      openai.webhooks.unwrap(raw, headers, made.signing_secret).then(
        ({ object, type, data }) => [object, type, "id" in data ? data.id : ""].join(" "),
        () => "of another",
      ),
    ),
  );
  expect(facts.toSorted()).toEqual([
    `event batch.cancelled ${left}`,
    `event batch.expired ${late}`,
    // The endpoint of the test before gets the third batch.
    "of another",
  ]);
  expect((await openai.batches.retrieve(late)).status).toBe("expired");
  expect((await openai.batches.retrieve(left)).status).toBe("cancelled");
});

const KEYS = [
  "created_at",
  "event_types",
  "id",
  "name",
  "object",
  "signing_secret_hint",
  "updated_at",
  "url",
];

test("a batch whose requests have all failed is completed, also for its endpoints", async () => {
  provider.state.behave = (_, response) => fail(response, 400);
  const id = await batchOf(LINE);
  const { raw } = await until(() =>
    receiver.received.find((message) => JSON.parse(message.raw).data?.id === id),
  );
  expect(JSON.parse(raw)).toMatchObject({ object: "event", type: "batch.completed" });
  provider.state.behave = () => undefined;
});

test("endpoints are listed, changed, tested, given new secrets and deleted", async () => {
  expect(await openai.webhooks.eventTypes.list()).toEqual({
    object: "list",
    data: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
  });
  const made = await openai.webhooks.create({
    url: receiver.url,
    name: "a",
    event_types: ["batch.expired"],
  });
  expect(Object.keys(await openai.webhooks.retrieve(made.id)).toSorted()).toEqual(KEYS);
  const withSecret = [...KEYS, "signing_secret"].toSorted();
  expect(Object.keys(made).toSorted()).toEqual(withSecret);
  const listed = [];
  for await (const { id } of openai.webhooks.list({ limit: 1 })) listed.push(id);
  expect(listed[0]).toBe(made.id);
  // The SDK sends `null` as an empty text.
  const page = await (await openai.webhooks.list({ after: null, limit: 1 }).asResponse()).json();
  expect({ ...page, data: [] }).toEqual({
    object: "list",
    data: [],
    first_id: made.id,
    last_id: made.id,
    has_more: true,
  });
  expect(Object.keys(page.data[0]).toSorted()).toEqual(KEYS);
  expect(await openai.webhooks.update(made.id, { name: "b" })).toMatchObject({
    name: "b",
    event_types: ["batch.expired"],
  });
  expect(await openai.webhooks.test(made.id, { event_type: "batch.expired" })).toEqual({
    object: "webhook_endpoint.test",
    event_type: "batch.expired",
    status_code: 204,
    success: true,
    webhook_endpoint_id: made.id,
  });
  const { raw, headers } = receiver.received.at(-1) ?? { raw: "", headers: {} };
  const event = await openai.webhooks.unwrap(raw, headers, made.signing_secret);
  expect(event).toMatchObject({ type: "batch.expired", data: { id: "batch_test" } });
  const rotated = await openai.webhooks.rotateSecret(made.id);
  expect(rotated.signing_secret).not.toBe(made.signing_secret);
  expect(Object.keys(rotated).toSorted()).toEqual(withSecret);
  expect(await openai.webhooks.retrieve(made.id)).toMatchObject({ name: "b" });
  const verifiedBy = async (...secrets: string[]) => {
    await openai.webhooks.test(made.id, { event_type: "batch.expired" });
    const last = receiver.received.at(-1) ?? { raw: "", headers: {} };
    const checks = secrets.map((secret) =>
      openai.webhooks.unwrap(last.raw, last.headers, secret).then(
        () => true,
        () => false,
      ),
    );
    return Promise.all(checks);
  };
  expect(await verifiedBy(made.signing_secret, rotated.signing_secret)).toEqual([false, true]);
  const both = { keep_old_secret_active_for_24_hours: true };
  const { signing_secret: third } = await openai.webhooks.rotateSecret(made.id, both);
  expect(await verifiedBy(rotated.signing_secret, third)).toEqual([true, true]);
  expect(await openai.webhooks.delete(made.id)).toEqual({
    id: made.id,
    object: "webhook_endpoint.deleted",
    deleted: true,
  });
  const gone = await refusal(openai.webhooks.retrieve(made.id));
  expect(gone).toBeInstanceOf(OpenAI.NotFoundError);
  const unknown = await refusal(
    openai.webhooks.create({ url: receiver.url, name: "x", event_types: ["video.failed"] }),
  );
  expect(unknown).toMatchObject({ status: 400, param: "event_types", code: "invalid_value" });
});

test("a test without an event type says what is missing", async () => {
  const hook = { url: receiver.url, name: "x", event_types: ["batch.failed" as const] };
  const { id } = await openai.webhooks.create(hook);
  const error = await refusal(openai.webhooks.test(id, {} as OpenAI.Webhooks.WebhookTestParams));
  expect(error.error).toEqual({
    message: "Missing required parameter: 'event_type'.",
    type: "invalid_request_error",
    param: "event_type",
    code: "missing_required_parameter",
  });
});

test("the end of a batch also reaches the webhooks of /api/v1, and endpoints can be deleted while they are listed", async () => {
  const hook = { url: receiver.url, events: ["batch.completed"] };
  const { body } = await app.post("/webhooks", hook);
  const id = await batchOf(LINE);
  const reported = await until(() =>
    receiver.received.find(({ raw }) => JSON.parse(raw).data?.batchId === id),
  );
  expect(JSON.parse(reported.raw)).toMatchObject({ type: "batch.completed" });
  expect((await refusal(openai.webhooks.retrieve(body.data.id))).status).toBe(404);

  const gone: string[] = [];
  for await (const endpoint of openai.webhooks.list({ limit: 1 })) {
    await openai.webhooks.delete(endpoint.id);
    gone.push(endpoint.id);
  }
  expect(gone.length).toBeGreaterThan(2);
  expect((await openai.webhooks.list()).data).toEqual([]);
});

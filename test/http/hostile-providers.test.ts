import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";

import { createEventLines, type StreamEvent } from "../../src/providers/event-lines.ts";
import { refusalText, replyText } from "../../src/providers/reply-bytes.ts";
import { type Behaviour, startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

/*
 * Providers with endless or invalid answers. A client gets an error in time, and the process neither
 * fills its memory nor keeps others waiting.
 */

const MIB = 1024 * 1024;
const LONGER = "The provider's answer is longer than 128 MiB";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let gone: Promise<unknown>;

beforeAll(async () => {
  provider = await startProvider();
  app = await startServer({ ...provider.env, MAX_RETRIES: "0" });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

/** Announces more bytes than any answer has, and sends as many as are read. */
function tooLong(status: number, type = "application/json"): Behaviour {
  return (_, response) => {
    response.writeHead(status, { "content-type": type, "content-length": String(200 * MIB) });
    response.write("y".repeat(4 * MIB));
    gone = once(response, "close");
    return undefined;
  };
}

const ask = (more: object = {}) =>
  app.send("POST", `${app.url}/v1/chat/completions`, {
    model: "gpt-4o-mini",
    messages: [{ role: "user", content: "x" }],
    ...more,
  });

describe("an answer without an end", () => {
  test("is a 502 that says so if the call is not a stream, and its connection is closed", async () => {
    provider.state.behave = tooLong(200);
    const { status, body } = await ask();
    expect(status).toBe(502);
    expect(body.error.message).toBe(LONGER);
    await gone;
  });

  test("is cut off if it explains a refusal, and its connection is closed", async () => {
    provider.state.behave = tooLong(400);
    const { status, text } = await ask();
    expect(status).toBe(400);
    expect(text.length).toBeLessThan(MIB);
    await gone;
  });

  test("fails a task", async () => {
    provider.state.behave = tooLong(200);
    const { body } = await app.post("/tasks?execute=true", { prompt: "x" }, { prefer: "wait=30" });
    expect(body.data.error).toMatchObject({ code: "PROVIDER_BAD_RESPONSE", message: LONGER });
    await gone;
  });

  test("is read up to a bound if its length is unknown", async () => {
    let given = 0;
    const piece = new Uint8Array(4 * MIB).fill(32);
    const unending = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          given++;
          controller.enqueue(piece);
        },
      });
    const packed = { headers: { "content-encoding": "gzip", "content-length": "9" } };
    for (const reply of [new Response(unending()), new Response(unending(), packed)]) {
      given = 0;
      expect(await replyText(reply).catch(String)).toContain(LONGER);
      expect(given).toBeLessThan(40);
    }
    given = 0;
    await refusalText(new Response(unending()));
    expect(given).toBeLessThan(4);
  });
});

test("a line of a stream is passed on unchanged before its end", async () => {
  const line = `data: {"choices":[{"index":0,"delta":{"content":"${"z".repeat(MIB)}"},"finish_reason":"stop"}]}\n\n`;
  provider.state.behave = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(`${line}data: [DONE]\n\n`);
    return undefined;
  };
  expect((await ask({ stream: true })).text).toBe(`${line}data: [DONE]\n\n`);
});

test("long names, ids and codes of a provider are cut where they are stored", async () => {
  const long = "x".repeat(5000);
  provider.state.behave = ({ body, prompt }, response) => {
    const choice = { index: 0, message: { content: "y" }, finish_reason: `a\u0000${long}` };
    const usage = { prompt_tokens: 1, completion_tokens: 1 };
    const answer = { model: `m\u0000${long}`, service_tier: long, choices: [choice], usage };
    const [status, said] =
      prompt === "fail" ? [400, { error: { message: long } }] : [200, { ...body, ...answer }];
    response.writeHead(status, { "content-type": "application/json", "x-request-id": long });
    response.end(JSON.stringify(said));
    return undefined;
  };
  const { headers, body } = await ask({ store: true });
  expect(body.model).toBe(`m\u0000${long}`);
  const ids = [headers.get("x-gtr-task") ?? ""];
  // The answer does not wait for its task to be stored.
  await until(async () => (await app.get(`/tasks/${ids[0]}`)).status === 200);
  for (const prompt of ["x", "fail"])
    ids.push((await app.post("/tasks?execute=true", { prompt })).body.data.id);
  for (const id of ids) await app.ended(id);
  const { rows } = await app.ctx.client.execute({
    sql: `SELECT e.status, length(e.model) AS model, length(e.request_id) AS requestId, length(e.error) AS error
          FROM executions e JOIN tasks t ON t.seq = e.task WHERE t.id IN (?, ?, ?) ORDER BY e.status`,
    args: ids,
  });
  expect(rows).toMatchObject([
    { status: "completed", model: 200, requestId: 200 },
    { status: "completed", model: 200, requestId: 200 },
    { status: "failed", requestId: 200 },
  ]);
  expect(Number(rows[2]?.["error"])).toBeLessThan(3000);
});

describe("a text on which a pattern could backtrack for minutes", () => {
  const SIZE = 100_000;
  test.each([
    ["dashes", 404, 404, "PROVIDER_NOT_FOUND", `${"-".repeat(SIZE)}x`],
    ["opened tags", 500, 500, "PROVIDER_ERROR", "<".repeat(SIZE)],
    ["opened titles", 500, 500, "PROVIDER_ERROR", "<title".repeat(SIZE / 6)],
    [
      "a repeated word",
      400,
      400,
      "PROVIDER_REJECTED_REQUEST",
      JSON.stringify({ error: { message: "violat".repeat(SIZE / 3) } }),
    ],
    ["blanks", 200, 502, "PROVIDER_BAD_RESPONSE", `{"a":${" ".repeat(SIZE)}x`],
    // A live answer of this length is passed on unread.
    ["quotes", 200, 200, "PROVIDER_BAD_RESPONSE", `{"a":NaN,${'\\"'.repeat(SIZE * 2)}`],
  ])("fails its call like any other: %s", async (_, status, live, code, said) => {
    provider.state.behave = (__, response) => {
      response.writeHead(status, { "content-type": "text/plain" });
      response.end(said);
      return undefined;
    };
    const task = app.post("/tasks?execute=true", { prompt: "x" }, { prefer: "wait=30" });
    const [passed, { body }] = await Promise.all([ask(), task]);
    expect([passed.status, body.data.error.code]).toEqual([live, code]);
  });
});

describe("the lines of a stream", () => {
  function read(...texts: string[]): StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = createEventLines((event) => events.push(event));
    for (const text of texts) lines.feed(text);
    lines.end();
    return events;
  }

  test("may come in any pieces", () => {
    const text = 'event: a\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: [DONE]\r\r: c\ndata: half';
    const whole = read(text);
    expect(whole.map(({ kind }) => kind)).toEqual(["json", "done", "text"]);
    expect(read(...text.split(""))).toEqual(whole);
    for (let at = 0; at < text.length; at++)
      expect(read(text.slice(0, at), text.slice(at))).toEqual(whole);
  });

  test("take time in proportion to their length, however they are cut", () => {
    const pieces = Array.from({ length: 5000 }, () => "z".repeat(1000));
    const begun = performance.now();
    expect(read("data: ", ...pieces)).toHaveLength(1);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  test("take time in proportion to their number, even if they are not valid JSON before the last one", () => {
    const rows = Array.from({ length: 20_000 }, (_, row) => `data: ${row},\n`);
    const begun = performance.now();
    const [event] = read("data: [\n", ...rows, "data: 0]\n", "\n");
    expect(event?.kind).toBe("json");
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe("a status that is neither success nor error", () => {
  test("is a 502 with an error in OpenAI's shape", async () => {
    for (const status of [204, 205, 300, 302, 304, 600, 999]) {
      provider.state.behave = (_, response) => {
        response.writeHead(status, { "content-type": "application/json", "content-length": "0" });
        response.end();
        return undefined;
      };
      const { status: answered, body } = await ask();
      expect([status, answered, typeof body?.error?.message]).toEqual([status, 502, "string"]);
    }
  });

  test("is not passed on either if the call is a stream", async () => {
    provider.state.behave = (_, response) => {
      response.writeHead(204, { "content-type": "text/event-stream" });
      response.end();
      return undefined;
    };
    expect((await ask({ stream: true })).status).toBe(200);
  });
});

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Endpoint } from "../../src/domain/request.ts";
import { readReply } from "../../src/providers/reply.ts";

/** The successful replies of the corpus as text, with their type. */
type Sent = { file: string; endpoint: Endpoint; type: string; text: string };

type Reply = { headers: Record<string, string>; body?: unknown; text?: string };

const FOLDER = join(import.meta.dir, "corpus");
const SENT: Sent[] = readdirSync(FOLDER)
  .toSorted()
  .flatMap((file) => {
    const { endpoint, replies } = JSON.parse(readFileSync(join(FOLDER, file), "utf8"));
    return replies
      .filter(({ status }: { status: number }) => status === 200)
      .map(({ headers, body, text }: Reply) => ({
        file,
        endpoint: endpoint ?? "/v1/chat/completions",
        type: headers["content-type"] ?? "",
        text: text ?? JSON.stringify(body),
      }));
  });
const STREAMS = SENT.filter(({ text }) => /^\s*(data|event|id|retry|error)?:/.test(text));

/** An answer with characters of two, three and four bytes, a call of a tool, and an error after the end. */
const chunk = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id: "c", model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const ODD: Sent[] = [
  {
    file: "several bytes a character",
    text: `${chunk({ content: "Grüße, 世界 🌍" })}${chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: '{"ä":' } }] })}${chunk({ tool_calls: [{ index: 0, function: { arguments: '"🚀"}' } }] }, "tool_calls")}data: [DONE]\n\n`,
  },
  {
    file: "an error before the end",
    text: `${chunk({ content: "Hi" })}data: {"error":{"message":"overloaded","code":503}}\n\n${chunk({}, "stop")}data: [DONE]\n\n`,
  },
  {
    file: "more after [DONE]",
    text: `${chunk({ content: "Hi" })}data: [DONE]\n\n${chunk({ content: " there" }, "length")}`,
  },
  {
    file: "an event over several lines",
    text: 'event: message\ndata: {"id":"c","model":"m",\ndata: "choices":[{"index":0,\ndata: "delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
  },
].map(({ file, text }) => ({
  file,
  text,
  endpoint: "/v1/chat/completions",
  type: "text/event-stream",
}));

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function read({ endpoint, type }: Sent, pieces: Uint8Array[]) {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) if (piece.length > 0) controller.enqueue(piece);
      controller.close();
    },
  });
  const deltas: string[] = [];
  const reply = new Response(body, { headers: { "content-type": type } });
  const result = await readReply(reply, { endpoint, onDelta: (text) => deltas.push(text) });
  return { result, streamed: deltas.join("") };
}

describe("a reply gives the same answer wherever it is cut", () => {
  test.each([...SENT, ...ODD])("$file", async (sent) => {
    const bytes = bytesOf(sent.text);
    const whole = await read(sent, [bytes]);
    for (let at = 1; at < bytes.length; at++) {
      const cut = await read(sent, [bytes.subarray(0, at), bytes.subarray(at)]);
      if (!Bun.deepEquals(cut, whole)) expect({ at, ...cut }).toEqual({ at, ...whole });
    }
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect(await read(sent, single)).toEqual(whole);
  });
});

/** Other spellings of the same stream, as the standard for server-sent events allows them. */
const SPELLINGS: [what: string, respell: (text: string) => string][] = [
  ["CRLF", (text) => text.replaceAll(/\r?\n/g, "\r\n")],
  ["CR alone", (text) => text.replaceAll(/\r?\n/g, "\r")],
  ["no space after the name of a field", (text) => text.replaceAll(/^(data|event): /gm, "$1:")],
  ["a byte order mark", (text) => `\uFEFF${text}`],
  ["a comment before each line", (text) => text.replaceAll(/^(?=data|event)/gm, ": ping\n")],
  [
    "a comment first, and others between events",
    (text) => `:\n\n${text.replaceAll("\n\n", "\n\n:keep-alive\n\n")}`,
  ],
  ["ids and times to reconnect", (text) => text.replaceAll(/^(?=data)/gm, "id: 7\nretry: 3000\n")],
  ["blank lines first", (text) => `\n\n${text}`],
];

describe.each(SPELLINGS)("a stream gives the same answer with %s", (_what, respell) => {
  test.each([...STREAMS, ...ODD])("$file", async (sent) => {
    const expected = await read(sent, [bytesOf(sent.text)]);
    const bytes = bytesOf(respell(sent.text));
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    for (const pieces of [[bytes], single, [bytes.subarray(0, 1), bytes.subarray(1)]])
      expect(await read(sent, pieces)).toEqual(expected);
  });
});

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { CAUSES } from "../../src/domain/failure.ts";
import type { Provider } from "../../src/domain/provider.ts";
import type { Endpoint } from "../../src/domain/request.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { createSystemRandom } from "../../src/lib/random.ts";
import type { CallResult } from "../../src/providers/call.ts";
import { createCaller } from "../../src/providers/openai.ts";
import { TERMS } from "../support/provider.ts";

/**
 * The bytes that a server sends, and the expected result. The files are written from documentation and from reports of
 * users. A second reply is for the next request.
 */
type Case = {
  server: string;
  why: string;
  endpoint?: Endpoint;
  request?: Record<string, unknown>;
  replies: { status: number; headers: Record<string, string>; body?: unknown; text?: string }[];
  expect: Expected;
};

type Expected = { ok: boolean; message?: string } & Record<string, unknown>;

const FOLDER = join(import.meta.dir, "corpus");
const FILES = readdirSync(FOLDER).toSorted();

const caseOf = (file: string): Case => JSON.parse(readFileSync(join(FOLDER, file), "utf8"));

test.each(FILES)("%s gives the result that a careful user expects", async (file) => {
  const { endpoint, request, replies, expect: expected } = caseOf(file);
  const sent: unknown[] = [];

  const result = await callWith(replies, { ...request }, endpoint ?? "/v1/chat/completions", sent);

  expect(sent).toHaveLength(replies.length);
  const reported = announceOf(result);
  const { message = "", ...exact } = expected;
  expect(reported).toMatchObject(exact);
  expect(reported.message).toContain(message);
});

test("each error is also one if it comes in the middle of a stream, with the same words", async () => {
  const errors = FILES.map(caseOf).filter(
    ({ endpoint, replies: [reply, ...more] }) =>
      !endpoint && more.length === 0 && reply !== undefined && reply.status >= 400 && !!reply.body,
  );
  const begun = { model: "m", choices: [{ index: 0, delta: { content: "Hi" } }] };
  expect(errors.length).toBeGreaterThan(100);

  for (const { replies, expect: expected } of errors) {
    const events = [begun, replies[0]?.body].map((event) => `data: ${JSON.stringify(event)}\n\n`);
    const stream = {
      status: 200,
      headers: { "content-type": "text/event-stream" },
      text: `${events.join("")}data: [DONE]\n\n`,
    };
    const result = await callWith([stream], { stream: true }, "/v1/chat/completions", []);

    const { ok, message } = announceOf(result);
    expect({ ok, message }).toEqual({ ok: false, message: expect.any(String) });
    if (!/does not exist there|OPENAI_BASE_URL|^HTTP/.test(expected.message ?? ""))
      expect(message).toContain(expected.message ?? "");
  }
});

async function callWith(
  replies: Case["replies"],
  request: Record<string, unknown>,
  endpoint: Endpoint,
  sent: unknown[],
): Promise<CallResult> {
  const provider: Provider = {
    ...TERMS,
    kind: "openai",
    name: "openai",
    baseUrl: "http://provider.test",
    apiKeys: ["sk-test"],
    headers: {},
  };
  const call = createCaller(provider, {
    clock: createSystemClock(),
    random: createSystemRandom(),
    fetch: async (_url, init) => {
      sent.push(init?.body);
      const { status, headers, body, text } = replies[sent.length - 1] ?? { status: 599 };
      return new Response(text ?? JSON.stringify(body), { status, headers: headers ?? {} });
    },
  });
  return call({
    endpoint,
    body: JSON.stringify({ model: "m", messages: [], ...request }),
    timeoutMs: 5000,
    isChecked: false,
    abort: new AbortController(),
    onDelta: () => {},
  });
}

function announceOf(result: CallResult) {
  const { answer, adjusted } = result;
  return {
    ...answer,
    adjusted,
    ok: result.ok,
    cause: result.ok ? null : result.failure.cause,
    message: result.ok ? "" : result.failure.message,
    status: result.ok ? null : result.failure.providerStatus,
    retryable: result.ok ? false : CAUSES[result.failure.cause].retryable,
  };
}

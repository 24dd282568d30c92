import { describe, expect, test } from "bun:test";

import type { Endpoint } from "../../src/domain/request.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { createSystemRandom } from "../../src/lib/random.ts";
import { createCaller } from "../../src/providers/openai.ts";
import { createSimulator } from "../../src/providers/simulator.ts";
import { countTokens } from "../../src/providers/tokens.ts";
import { TERMS } from "../support/provider.ts";

const OUTSIDE = { clock: createSystemClock(), random: createSystemRandom(), fetch };
const call = createCaller(
  { ...TERMS, kind: "simulator", name: "simulator", latencyMs: 0, failureRate: 0, mismatchRate: 0 },
  OUTSIDE,
);

async function ask(endpoint: Endpoint, body: Record<string, unknown>, heard: string[] = []) {
  const result = await call({
    endpoint,
    body: JSON.stringify({ model: "gpt-4o-mini", ...body }),
    timeoutMs: 5000,
    isChecked: false,
    abort: new AbortController(),
    onDelta: (text) => heard.push(text),
  });
  if (!result.ok) throw new Error(result.failure.message);
  return { ...result.answer, response: JSON.parse(result.response) };
}

describe("the simulator", () => {
  const messages = [{ role: "user", content: "What is a haiku?" }];
  const requests: [Endpoint, Record<string, unknown>, string][] = [
    ["/v1/chat/completions", { messages }, "chat.completion"],
    ["/v1/completions", { prompt: "What is a haiku?" }, "text_completion"],
    ["/v1/responses", { input: "What is a haiku?" }, "response"],
  ];

  test.each(requests)(
    "answers %s, at once or as a stream, with the same words",
    async (endpoint, body, object) => {
      const whole = await ask(endpoint, body);
      expect(whole.response.object).toBe(object);
      expect(whole.content).toStartWith("Simulated answer to “What is a haiku?”.");
      expect(whole.usage?.completionTokens).toBe(
        await countTokens("gpt-4o-mini", whole.content ?? ""),
      );
      expect(whole.usage?.promptTokens).toBeGreaterThan(4);
      const heard: string[] = [];
      const streamed = await ask(endpoint, { ...body, stream: true }, heard);
      expect(streamed.content).toBe(whole.content);
      expect(streamed.usage).toEqual(whole.usage);
      expect(streamed.response.object).toBe(object);
      expect(heard.length).toBeGreaterThan(5);
      expect(heard.join("")).toBe(whole.content ?? "");
    },
  );

  test("embeds texts as unit vectors that depend on the text", async () => {
    const { response, content } = await ask("/v1/embeddings", {
      input: ["a", "b", "a"],
      dimensions: 8,
    });
    const [a, b, again] = response.data.map(({ embedding }: { embedding: number[] }) => embedding);
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
    expect(Math.hypot(...a)).toBeCloseTo(1, 4);
    expect(JSON.parse(content ?? "")).toEqual([a, b, again]);
  });

  test("gives the same answer to the same request, and another to another", async () => {
    const first = await ask("/v1/chat/completions", { messages });
    const again = await ask("/v1/chat/completions", { messages });
    const other = await ask("/v1/chat/completions", {
      messages: [{ role: "user", content: "And a sonnet?" }],
    });
    expect(again.content).toBe(first.content);
    expect(other.content).not.toBe(first.content);
  });

  test("obeys the token limit and reports it, and answers in JSON on request", async () => {
    const short = await ask("/v1/chat/completions", { messages, max_tokens: 10 });
    expect(short.finishReason).toBe("length");
    expect(short.usage?.completionTokens).toBeLessThanOrEqual(10);
    const json = await ask("/v1/chat/completions", {
      messages,
      response_format: { type: "json_object" },
    });
    expect(JSON.parse(json.content ?? "")).toHaveProperty("answer");
  });

  test("has the configured failure rate and latency", async () => {
    const requestId = Array.from({ length: 26 }, () => 0);
    const numbers = [0, 0.1, ...requestId, 0, 0.9];
    const simulate = createSimulator(
      { latencyMs: 20, failureRate: 0.5, mismatchRate: 0 },
      { ...OUTSIDE, random: () => numbers.shift() ?? 0.5 },
    );
    const init = { method: "POST", body: JSON.stringify({ model: "m", messages }) };
    const begun = performance.now();
    expect((await simulate("http://x/v1/chat/completions", init)).status).toBe(503);
    expect((await simulate("http://x/v1/chat/completions", init)).status).toBe(200);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(19);
  });

  test("stops on request", async () => {
    const simulate = createSimulator(
      { latencyMs: 60_000, failureRate: 0, mismatchRate: 0 },
      OUTSIDE,
    );
    const abort = new AbortController();
    const answering = simulate("http://x/v1/models", { signal: abort.signal });
    abort.abort();
    expect(answering).rejects.toThrow("aborted");
  });
});

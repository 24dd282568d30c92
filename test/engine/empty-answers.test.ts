import { expect, test } from "bun:test";

import { chatAnswer, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

/** What an answer of the test's provider costs: 10 tokens in, 5 out, at 30 and 60 USD a million. */
const COST = 0.0006;

/** For each prompt: the choice that is sent, the error that follows, and how often it is sent. */
const CASES: Record<string, [choice: Json, code: string, calls: number]> = {
  "nothing at all": [{ message: { content: "" }, finish_reason: "stop" }, "EMPTY_RESPONSE", 2],
  "no reason": [{ message: { content: " \n" }, finish_reason: "" }, "EMPTY_RESPONSE", 2],
  "no tokens left": [{ message: { content: null }, finish_reason: "length" }, "TRUNCATED", 1],
  "no tokens left for a text": [
    { message: { content: "", reasoning_content: "Well" }, finish_reason: "MAX_TOKENS" },
    "TRUNCATED",
    1,
  ],
  "a refusal": [{ message: { refusal: "I will not." }, finish_reason: "stop" }, "REFUSED", 1],
  ...Object.fromEntries(
    [
      "content_filter",
      "SAFETY",
      "PROHIBITED_CONTENT",
      "RECITATION",
      "BLOCKLIST",
      "SPII",
      "content_filter: SAFETY",
      "sensitive",
    ].map((word) => [word, [{ message: {}, finish_reason: word }, "CONTENT_FILTERED", 1]]),
  ),
};

test("an answer without content fails, is paid for, is never cached, and is requested again only where that can help", async () => {
  await using provider = await startProvider(({ prompt, body }) => ({
    ...chatAnswer({ prompt, body }),
    choices: [{ index: 0, ...CASES[prompt]?.[0] }],
  }));
  await using app = await startServer({ ...provider.env, MAX_RETRIES: "1" });
  const prompts = Object.keys(CASES);
  const tasks = prompts.map((prompt) => ({ prompt, model: "gpt-4", cache: true }));

  // No answer of the first batch is there for the second.
  for (const [round, id] of ["first", "second"].entries()) {
    await app.post("/batches", { id, tasks });
    await app.post(`/batches/${id}/execute`);
    const batch = await app.finished(id);
    for (const [i, prompt] of prompts.entries()) {
      const [, code, calls = 0] = CASES[prompt] ?? [];
      const { error, executionId } = (await app.get(`/tasks/${id}-${i + 1}`)).body.data;
      const sent = provider.counts.get(prompt);
      expect([prompt, error.code, sent]).toEqual([prompt, code, calls * (round + 1)]);
      if (code === "REFUSED") expect(error.message).toContain("I will not.");
      if (code === "CONTENT_FILTERED") expect(error.message).toContain(prompt);
      const { attempts } = (await app.get(`/executions/${executionId}`)).body.data;
      expect(attempts).toHaveLength(calls);
    }
    const calls = provider.requests.length / (round + 1);
    expect(batch.costUsd).toBeCloseTo(COST * calls, 9);
    expect(batch.usage.totalTokens).toBe(15 * calls);
    expect(batch.reused).toBe(0);
  }
  expect(await app.differences()).toEqual([]);
});

test("reasoning is kept apart from the answer", async () => {
  await using provider = await startProvider((request) => ({
    ...chatAnswer(request),
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "42", reasoning_content: "six times seven" },
        finish_reason: "stop",
      },
    ],
  }));
  await using app = await startServer(provider.env);
  await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
  const { result } = await app.ended("t");
  expect(result).toMatchObject({ content: "42", reasoning: "six times seven" });
});

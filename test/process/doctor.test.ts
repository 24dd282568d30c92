import { expect, test } from "bun:test";

import { COMMAND_LINE } from "../support/program.ts";
import { type Behaviour, chatAnswer, fail, startProvider } from "../support/provider.ts";

/** A provider that refuses `max_tokens` and `temperature`, supports streams, and obeys schemas. */
const reasoning: Behaviour = (request, response) => {
  const { body } = request;
  if ("max_tokens" in body)
    return fail(response, 400, {
      message: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
      param: "max_tokens",
    });
  if ("temperature" in body)
    return fail(response, 400, {
      message: "Unsupported value: only the default is supported",
      param: "temperature",
    });
  if (body.stream) {
    const chunks = ["Hi ", "there"].map((content) => ({
      choices: [{ index: 0, delta: { content } }],
    }));
    const end = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const chunk of [...chunks, end]) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    response.end("data: [DONE]\n\n");
    return null;
  }
  response.setHeader("x-ratelimit-limit-requests", "500");
  response.setHeader("x-ratelimit-remaining-requests", "499");
  const prompt = body.response_format ? "" : "fine";
  const answer = chatAnswer({ ...request, prompt });
  if (body.response_format) answer.choices[0].message.content = '{"is_fine":true}';
  return answer;
};

async function runDoctor(env: Record<string, string>, ...args: string[]) {
  const child = Bun.spawn([...COMMAND_LINE, "doctor", ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { out, err, code: await child.exited };
}

test("the doctor reports what a provider supports and refuses, and that a provider does not answer", async () => {
  await using provider = await startProvider(reasoning);
  const env = { ...provider.env, DEFAULT_MODEL: "gpt-5-mini" };
  const [json, text, lost, wrong] = await Promise.all([
    runDoctor(env, "--json"),
    runDoctor(env),
    runDoctor({ OPENAI_BASE_URL: "http://127.0.0.1:9/v1", OPENAI_API_KEY: "sk-secret-secret" }),
    runDoctor(env, "--nonsense"),
  ]);

  expect(json.code).toBe(0);
  expect(JSON.parse(json.out).providers).toMatchObject([
    {
      provider: "openai",
      isUsable: true,
      model: "gpt-5-mini",
      // Three answers, and two more for what was refused; this provider's list is counted, too.
      requests: 6,
      models: { listed: null },
      usage: { reported: "reported", promptTokens: 10, completionTokens: 5 },
      streaming: { pieces: 2, reportsUsage: false },
      schema: { support: "kept", error: null },
      limits: { requests: { limit: 500 } },
      adjusted: ["max_tokens sent as max_completion_tokens", "temperature omitted"],
    },
  ]);
  expect(text.out).toContain(": works\n");
  expect(text.out).toMatch(
    /refused +max_tokens sent as max_completion_tokens; temperature omitted/,
  );
  expect(text.out).toMatch(/sent +6 requests, for this report/);
  expect(lost.code).toBe(1);
  expect(lost.out).toContain("DOES NOT WORK");
  expect(lost.out + lost.err).not.toContain("sk-secret");
  expect([wrong.code, wrong.err.includes("--nonsense")]).toEqual([2, true]);
});

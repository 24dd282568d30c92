// Vercel's AI SDK with another base URL and another key. Prints one line of JSON per check.
import { createRequire } from "node:module";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "ours",
  baseURL: `${process.env.SERVER_URL}/v1`,
  apiKey: process.env.SERVER_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider("gpt-4o-mini");
const HELLO = "Hi there, nice to meet you!";
const twoSteps = isStepCount(2);
const tools = {
  get_weather: tool({
    description: "Says how the weather is.",
    inputSchema: z.object({ city: z.string() }),
    execute: ({ city }) => `sunny in ${city}`,
  }),
};

const checks = {
  async chat() {
    const { text, usage } = await generateText({ model, prompt: "hello", maxRetries: 0 });
    expect(text, HELLO);
    if (!(usage.outputTokens > 0)) throw new Error("no usage");
  },
  async stream() {
    const pieces = [];
    const { textStream } = streamText({ model, prompt: "hello", maxRetries: 0 });
    for await (const piece of textStream) pieces.push(piece);
    if (pieces.length < 3) throw new Error(`${pieces.length} pieces`);
    expect(pieces.join(""), HELLO);
  },
  async tools() {
    const { text } = await generateText({ model, prompt: "weather", tools, stopWhen: twoSteps });
    expect(text, "It is sunny in Paris.");
  },
  async structured() {
    const schema = z.object({ name: z.string(), age: z.number() });
    const { output } = await generateText({
      model,
      prompt: "person",
      output: Output.object({ schema }),
    });
    expect(JSON.stringify(output), '{"name":"Ada","age":36}');
  },
  async embeddings() {
    const { embedding } = await embed({
      model: provider.embeddingModel("text-embedding-3-small"),
      value: "hello",
    });
    expect(embedding[0], 0.25);
  },
};

function expect(found, wanted) {
  if (found !== wanted) throw new Error(`${found} in place of ${wanted}`);
}

const { version } = createRequire(import.meta.url)("@ai-sdk/openai-compatible/package.json");
for (const [what, check] of Object.entries(checks)) {
  const line = { program: `Vercel AI SDK (@ai-sdk/openai-compatible ${version})`, what };
  try {
    await check();
  } catch (error) {
    line.error = String(error?.stack ?? error).slice(0, 1500);
    process.exitCode = 1;
  }
  console.log(JSON.stringify(line));
}

/*
 * An independent provider (aimock) with the answers that the programs in `openai_programs.py` and `ai_sdk.mjs` need.
 * Prints its address.
 */
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ port: 0, chunkSize: 5 });
const weather = { name: "get_weather", arguments: '{"city":"Paris"}' };
const person = '{"name":"Ada","age":36}';
mock
  .addFixture({
    match: { userMessage: "weather", hasToolResult: false },
    response: { toolCalls: [weather] },
  })
  .onMessage("weather", { content: "It is sunny in Paris." })
  .addFixture({
    match: { userMessage: "person", toolName: "Person" },
    response: { toolCalls: [{ name: "Person", arguments: person }] },
  })
  // This is what instructor calls the tool whose arguments it reads piece by piece.
  .addFixture({
    match: { userMessage: "person", toolName: "PartialPerson" },
    response: { toolCalls: [{ name: "PartialPerson", arguments: person }] },
  })
  .onMessage("person", { content: person })
  .onMessage("hello", { content: "Hi there, nice to meet you!" })
  .onEmbedding(/./, { embedding: [0.25, -0.5, 0.125] });
await mock.start();
console.log(`ready ${mock.url}/v1`);

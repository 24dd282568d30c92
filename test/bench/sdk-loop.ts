/* The bare loop that is the baseline for throughput. Each GET runs it once and returns calls per second. */
import OpenAI from "openai";

const TASKS = Number(process.env["TASKS"]);
const AT_ONCE = Number(process.env["AT_ONCE"] ?? 64);
const client = new OpenAI({
  baseURL: process.env["PROVIDER"] ?? "",
  apiKey: "bench",
  maxRetries: 0,
});

async function run(): Promise<number> {
  let next = 0;
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next++ < TASKS)
        await client.chat.completions.create({
          model: "gpt-4o-mini",
          messages: [{ role: "user", content: "Say hello to number" }],
        });
    }),
  );
  return (TASKS / (performance.now() - begun)) * 1000;
}

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 120,
  fetch: async () => new Response(String(await run())),
});
console.log(`ready http://127.0.0.1:${server.port}`);

// 10,000 jobs through bunqueue, embedded on an SQLite file, each one call of the same SDK. Run by
// ../peers.bench.ts, in a folder that has the packages. Each GET runs it once and answers jobs per second.
import { Queue, Worker } from "bunqueue/client";
import OpenAI from "openai";

const JOBS = Number(process.env.TASKS);
const client = new OpenAI({ baseURL: process.env.PROVIDER, apiKey: "bench", maxRetries: 0 });
const where = { embedded: true, dataPath: process.env.DATA_PATH };
const queue = new Queue("bench", where);
let done = 0;
let onDone = () => {};

const worker = new Worker(
  "bench",
  async (job) => {
    const answer = await client.chat.completions.create({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: job.data.prompt }],
    });
    return answer.choices[0].message.content;
  },
  { ...where, concurrency: Number(process.env.AT_ONCE) },
);
worker.on("completed", () => {
  if (++done === JOBS) onDone();
});

async function run() {
  done = 0;
  const ended = new Promise((resolve) => (onDone = resolve));
  const begun = performance.now();
  for (let i = 0; i < JOBS; i += 1000)
    await queue.addBulk(
      Array.from({ length: 1000 }, (_, n) => ({
        name: "call",
        data: { prompt: `Say hello to number ${i + n}` },
        opts: process.env.DURABLE === "1" ? { durable: true } : {},
      })),
    );
  await ended;
  return (JOBS / (performance.now() - begun)) * 1000;
}

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 120,
  fetch: async () => new Response(String(await run())),
});
console.log(`ready http://127.0.0.1:${server.port}`);

/* The 600 calls as a plain loop of the SDK (with its own retries) or behind Bottleneck. GET runs them. */
import { readFileSync } from "node:fs";

import Bottleneck from "bottleneck";
import OpenAI from "openai";

const prompts = JSON.parse(readFileSync("prompts.json", "utf8"));
const client = new OpenAI({ baseURL: process.env.PROVIDER, apiKey: "bench" });

async function call({ prompt }) {
  try {
    await client.chat.completions.create({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: prompt }],
    });
    return true;
  } catch {
    return false;
  }
}

async function plain(atOnce) {
  let next = 0;
  let completed = 0;
  const worker = async () => {
    for (let i = next++; i < prompts.length; i = next++) if (await call(prompts[i])) completed++;
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return completed;
}

const perMinute = Number(process.env.RPM);
/** What its manual advises for a limit of a minute, and the provider's bucket rebuilt, burst included. */
const EVENLY = { maxConcurrent: 64, minTime: 60_000 / perMinute };
const BUCKET = {
  maxConcurrent: 64,
  reservoir: perMinute / 10,
  reservoirIncreaseAmount: perMinute / 60 / 4,
  reservoirIncreaseInterval: 250,
  reservoirIncreaseMaximum: perMinute / 10,
};

async function bottleneck(settings) {
  const limiter = new Bottleneck(settings);
  const done = await Promise.all(prompts.map((prompt) => limiter.schedule(() => call(prompt))));
  return done.filter(Boolean).length;
}

const MODES = {
  plain: () => plain(64),
  "plain-8": () => plain(8),
  evenly: () => bottleneck(EVENLY),
  bucket: () => bottleneck(BUCKET),
};

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 255,
  async fetch() {
    const begun = performance.now();
    const completed = await MODES[process.env.MODE]();
    return Response.json({ seconds: (performance.now() - begun) / 1000, completed });
  },
});
console.log(`ready http://127.0.0.1:${server.port}`);

import { expect, test } from "bun:test";

import OpenAI, { toFile } from "openai";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { KEY, until } from "../support/server.ts";

const LINES = 60;
const CHAT = "/v1/chat/completions";

test("a batch continues after kill -9 at any point, and each line is in exactly one result file", async () => {
  using folder = temporaryFolder();
  await using provider = await startProvider(async () => {
    await Bun.sleep(15);
    return undefined;
  });
  const env = { ...provider.env, DATA_DIR: folder.path, MAX_CONCURRENCY: "2" };
  const start = async () => {
    const server = await startProcess(env);
    const openai = new OpenAI({ apiKey: KEY, baseURL: `${server.url}/v1`, maxRetries: 5 });
    return { server, openai };
  };
  const content = Array.from({ length: LINES }, (_, i) =>
    JSON.stringify({
      custom_id: `line-${i}`,
      method: "POST",
      url: CHAT,
      body: { model: "gpt-4o-mini", messages: [{ role: "user", content: `prompt ${i}` }] },
    }),
  ).join("\n");

  const first = await start();
  const file = await toFile(Buffer.from(content), "in.jsonl");
  const { id: input } = await first.openai.files.create({ file, purpose: "batch" });
  const { id } = await first.openai.batches.create({
    input_file_id: input,
    endpoint: CHAT,
    completion_window: "24h",
  });
  // Before the check of its file has ended, or just after.
  await first.server.kill();

  const second = await start();
  await until(() => provider.requests.length > LINES / 3);
  await second.server.kill();

  const third = await start();
  const batch = await until(async () => {
    const now = await third.openai.batches.retrieve(id);
    return now.status === "completed" ? now : undefined;
  });
  expect(batch.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
  expect(batch.error_file_id).toBeNull();
  const output = await (await third.openai.files.content(batch.output_file_id ?? "")).text();
  const ids = output
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).custom_id);
  expect(ids).toEqual(Array.from({ length: LINES }, (_, i) => `line-${i}`));
  // Only calls that were in flight at a kill are sent again.
  expect(provider.requests.length).toBeLessThanOrEqual(LINES + 4);
  await third.server.kill("SIGTERM");
});

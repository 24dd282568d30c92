/*
 * `bun run demo`: the main job from end to end, in a throw-away data folder. It starts the server as
 * a process of its own, sends examples/tasks.csv as a batch, shows its progress, and writes the
 * answers to results.csv.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { answerHelp } from "../src/lib/script-help.ts";

answerHelp(import.meta.url);

const KEY = `demo-${crypto.randomUUID()}`;
const OUTPUT = "results.csv";
const BAR_WIDTH = 40;

const folder = mkdtempSync(join(tmpdir(), "gpt-task-runner-demo-"));
mkdirSync(join(folder, "files"));
copyFileSync(new URL("tasks.csv", import.meta.url), join(folder, "files", "tasks.csv"));

const server = Bun.spawn([process.execPath, new URL("../src/main.ts", import.meta.url).pathname], {
  env: {
    ...process.env,
    PORT: "0",
    DATA_DIR: folder,
    DATABASE_URL: "",
    FILES_DIR: "",
    API_KEYS: KEY,
    LOG_LEVEL: "warning",
    RATE_LIMIT_PER_MINUTE: "0",
  },
  stdout: "pipe",
  stderr: "inherit",
});
process.on("SIGINT", () => server.kill());

try {
  const base = await readAddress();
  const batch = await call(base, "POST", "/batches", {
    name: "Demo",
    inputFile: "tasks.csv",
    config: {
      systemPrompt: "Answer briefly. You are talking to {{audience}}.",
      maxTokens: 200,
      maxConcurrency: 8,
    },
  });
  console.log(`\nexamples/tasks.csv became batch ${batch.id} with ${batch.taskCount} tasks.\n`);
  await call(base, "POST", `/batches/${batch.id}/execute`);
  const ended = await follow(base, batch.id);
  const results = await fetch(`${base}/batches/${batch.id}/results`, { headers: headers() });
  writeFileSync(OUTPUT, await results.text());
  report(ended);
} finally {
  server.kill();
  await server.exited;
  rmSync(folder, { recursive: true, force: true });
}

type Batch = {
  id: string;
  taskCount: number;
  status: string;
  progress: { total: number; completed: number; failed: number; running: number };
  usage: { promptTokens: number; completionTokens: number; totalTokens: number };
  costUsd: number | null;
  startedAt: string;
  completedAt: string;
};

/** The address of the API, from what the server prints when it is ready. */
async function readAddress(): Promise<string> {
  let text = "";
  for await (const chunk of server.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const address = /API +(http\S+)/.exec(text)?.[1];
    if (address === undefined) continue;
    console.log(text.trimEnd());
    return address;
  }
  throw new Error("the server ended before it was ready");
}

function headers(): Record<string, string> {
  return { authorization: `Bearer ${KEY}`, "content-type": "application/json" };
}

async function call(base: string, method: string, path: string, body?: unknown): Promise<Batch> {
  const response = await fetch(base + path, {
    method,
    headers: headers(),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as { data: Batch; error?: { message: string } };
  if (!response.ok) throw new Error(`${method} ${path}: ${answer.error?.message}`);
  return answer.data;
}

/** Draws one progress bar until the batch has ended. */
async function follow(base: string, id: string): Promise<Batch> {
  for (;;) {
    const batch = await call(base, "GET", `/batches/${id}?limit=1`);
    draw(batch);
    if (["completed", "failed", "cancelled"].includes(batch.status)) return batch;
    await Bun.sleep(100);
  }
}

function draw({ status, progress }: Batch): void {
  const { total, completed, failed, running } = progress;
  const filled = Math.round(((completed + failed) / total) * BAR_WIDTH);
  const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
  const line = `${bar} ${completed + failed}/${total} done, ${running} running, ${failed} failed`;
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${line}`);
  else if (status !== "running") process.stdout.write(line);
}

function report({ progress, usage, costUsd, startedAt, completedAt }: Batch): void {
  const seconds = (Date.parse(completedAt) - Date.parse(startedAt)) / 1000;
  const isSimulated = !process.env["OPENAI_API_KEY"] && !process.env["OPENAI_BASE_URL"];
  const known = costUsd === null ? "unknown (no price for these models)" : `$${costUsd.toFixed(4)}`;
  const cost = isSimulated ? "nothing: the built-in simulator answered" : known;
  console.log(`

  Results   ${progress.completed + progress.failed} (${progress.failed} failed), in ${OUTPUT}
  Tokens    ${usage.totalTokens} (${usage.promptTokens} in, ${usage.completionTokens} out)
  Cost      ${cost}
  Duration  ${seconds.toFixed(1)} s

  Next: open ${OUTPUT}, then \`bun run start\` and follow docs/spreadsheets.md.
`);
}

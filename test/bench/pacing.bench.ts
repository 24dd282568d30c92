import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  printTable,
  round,
  type Row,
  startCommand,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

const RPM = 1200;
const TPM = 300_000;
const BURST = 0.1;
const LATENCY_MS = 500;
export const TASKS = 600;
const PACKAGES = ["bottleneck@2.19.5", "openai@7.57.0"];

/** A request received by the provider of `limited-provider.ts`. */
export type Received = { at: number; model: string; status: number };

/**
 * 600 tasks under limits of 1,200 requests and 300,000 tokens a minute, with a burst of a tenth of a minute. Measured are
 * the time in relation to the ideal and the refused calls, depending on what the program knows of the limits, beside the
 * plain SDK loop and Bottleneck, each in its own process. Then two models, one of which has a hundredth of the limits.
 */
export async function benchPacing(): Promise<void> {
  const rows = [
    await runOurs("task runner, limits configured", false, {
      PROVIDER_RPM: String(RPM),
      PROVIDER_TPM: String(TPM),
    }),
    await runOurs("task runner, headers only", true, {}),
    await runOurs("task runner, nothing but Retry-After", false, {}),
    ...(await runPeers()),
  ];
  printTable(`${TASKS} tasks under ${RPM} requests and ${TPM} tokens a minute`, rows);
  printTable("Two models, one with a hundredth of the limits", await runTwoModels());
}

/** Prompt and answer together have 250 tokens on average, which makes both limits equally tight. */
function prompts(count: number): { prompt: string; tokens: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const output = 50 + ((i * 37) % 101);
    const words = 100 + ((i * 53) % 101);
    return { prompt: `${output}${" word".repeat(words - 1)}`, tokens: output + words };
  });
}

/** The least seconds that the limits allow for the tasks. */
export function idealSeconds(count: number): number {
  const tokens = prompts(count).reduce((sum, prompt) => sum + prompt.tokens, 0);
  const minutes = Math.max(count / RPM - BURST, tokens / TPM - BURST, 0);
  return minutes * 60 + LATENCY_MS / 1000;
}

function startLimited(speaks: boolean, latencyMs = LATENCY_MS) {
  return startScript("limited-provider.ts", {
    RPM: String(RPM),
    TPM: String(TPM),
    LATENCY_MS: String(latencyMs),
    HEADERS: speaks ? "1" : "0",
  });
}

async function readLog(url: string): Promise<Received[]> {
  return (await fetch(url)).json() as Promise<Received[]>;
}

async function runOurs(what: string, speaks: boolean, env: Record<string, string>): Promise<Row> {
  const { seconds, log, completed } = await runBatch(speaks, env);
  return toRow(what, seconds, log, completed);
}

/** The requests that the provider received from the task runner, which did not know the limits beforehand. */
export async function recordOurs(): Promise<Received[]> {
  return (await runBatch(true, {})).log;
}

async function runBatch(speaks: boolean, env: Record<string, string>) {
  const provider = await startLimited(speaks);
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "bench",
    ALLOWED_MODELS: "*",
    ...env,
  });
  const tasks = prompts(TASKS).map(({ prompt }) => ({ prompt, maxTokens: 1000 }));
  await runner.api("POST", "/batches", { id: "b", tasks });
  await readLog(provider.url);
  const begun = performance.now();
  await runner.api("POST", "/batches/b/execute");
  const { progress } = await untilFinished(runner, "b");
  const seconds = (performance.now() - begun) / 1000;
  const log = await readLog(provider.url);
  await Promise.all([runner.stop(), provider.stop()]);
  return { seconds, log, completed: Number(progress.completed) };
}

function toRow(what: string, seconds: number, log: Received[], completed: number): Row {
  const refused = log.filter(({ status }) => status === 429).length;
  return {
    what,
    seconds: round(seconds, 1),
    "over ideal": round(seconds / idealSeconds(TASKS), 3),
    "429s": refused,
    "share of 429s": `${round((refused / log.length) * 100, 2)} %`,
    completed,
  };
}

async function runPeers(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [what, mode] of [
    ["plain SDK loop, 64 at once", "plain"],
    ["plain SDK loop, 8 at once", "plain-8"],
    ["Bottleneck with the limits", "evenly"],
    ["Bottleneck with the limits and the burst", "bucket"],
  ] as const) {
    const { seconds, log, completed } = await runPeer(mode);
    rows.push(toRow(what, seconds, log, completed));
  }
  return rows;
}

/** The requests that the provider received from a loop as people write it. */
export async function recordPeer(mode: string): Promise<Received[]> {
  return (await runPeer(mode)).log;
}

/** Runs a loop in its own process, from a folder with its packages. */
async function runPeer(mode: string) {
  const folder = mkdtempSync(join(tmpdir(), "bench-pacing-"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  Bun.spawnSync([process.execPath, "add", "--exact", ...PACKAGES], { cwd: folder });
  copyFileSync(join(import.meta.dir, "peers/paced.mjs"), join(folder, "paced.mjs"));
  writeFileSync(join(folder, "prompts.json"), JSON.stringify(prompts(TASKS)));
  const provider = await startLimited(true);
  const peer = await startCommand([process.execPath, join(folder, "paced.mjs")], {
    cwd: folder,
    env: { PROVIDER: provider.url, MODE: mode, RPM: String(RPM), TPM: String(TPM) },
  });
  const { seconds, completed } = await (await fetch(peer.url)).json();
  const log = await readLog(provider.url);
  await Promise.all([peer.stop(), provider.stop()]);
  rmSync(folder, { recursive: true, force: true });
  return { seconds: Number(seconds), log, completed: Number(completed) };
}

async function runTwoModels(): Promise<Row[]> {
  const alone = await runFree(false);
  const beside = await runFree(true);
  return [
    { what: "free model alone", seconds: round(alone, 2), ratio: 1 },
    { what: "beside a throttled one", seconds: round(beside, 2), ratio: round(beside / alone, 3) },
  ];
}

/** Seconds for the tasks of a model, optionally in a batch with as many tasks of a throttled model. */
async function runFree(isMixed: boolean): Promise<number> {
  const provider = await startLimited(true);
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "bench",
    ALLOWED_MODELS: "*",
  });
  const free = prompts(300).map(({ prompt }) => ({ prompt, model: "free" }));
  const tasks = isMixed ? free.flatMap((task) => [task, { ...task, model: "throttled" }]) : free;
  await runner.api("POST", "/batches", { id: "b", tasks });
  await readLog(provider.url);
  const begun = performance.now();
  await runner.api("POST", "/batches/b/execute");
  let answered = 0;
  while (answered < free.length) {
    await Bun.sleep(20);
    const log = await readLogWithoutReset(provider.url);
    answered = log.filter(({ model, status }) => model === "free" && status === 200).length;
  }
  const seconds = (performance.now() - begun) / 1000;
  await Promise.all([runner.kill(), provider.stop()]);
  return seconds;
}

async function readLogWithoutReset(url: string): Promise<Received[]> {
  return (await fetch(`${url}?keep`)).json() as Promise<Received[]>;
}

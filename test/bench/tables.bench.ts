import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import {
  peakMb,
  printTable,
  residentMb,
  round,
  type Row,
  startRunner,
  startScript,
  tracked,
  untilFinished,
} from "./support.ts";

const ROWS = Number(process.env["ROWS"] ?? 10_000);
const AT_ONCE = "64";
/** Rows under a limit of 200 requests a second, with a burst of 1,200. */
const LIMITED_ROWS = Math.min(ROWS, 3000);
const LIMITS = { RPM: "12000", TPM: "100000000", LATENCY_MS: "50" };
/** The first word of a prompt tells the limited provider the length of the answer. */
const PROMPT = "8 Say hello to";
const PEERS = { Ondine: "ondine_table.py", "async-batch-llm": "async_batch_llm_table.py" };

type Outcome = { seconds: number; rss: number; missing: number };
/** Sends a file and waits for the file of answers. With `until`, the program is killed at that point and started again. */
type Work = (provider: string, input: string, until?: () => Promise<void>) => Promise<Outcome>;

/**
 * A table of 10,000 rows from its file to a file of answers, beside Ondine and async-batch-llm, each in its own process
 * and with the same number of concurrent calls. Measured are time, memory, the calls that a provider refuses under a
 * limit, and the rows that are lost or sent twice if the program is killed in the middle. `PEERS_VENV` is a Python environment with
 * the packages `ondine` and `async-batch-llm`; without it only the task runner is measured. `ONLY` is one of the three,
 * `PHASE` one of `whole`, `killed` and `limited`.
 */
export async function benchTables(): Promise<void> {
  const venv = process.env["PEERS_VENV"];
  const works: Record<string, Work> = { "task runner": runnerWork };
  for (const [name, script] of Object.entries(venv === undefined ? {} : PEERS))
    works[name] = peerWork(join(venv ?? "", "bin/python"), script);
  const asked = process.env["ONLY"];
  const rows: Row[] = [];
  for (const [what, work] of Object.entries(works))
    if (asked === undefined || asked === what) rows.push({ what, ...(await measure(work)) });
  printTable(`A table of ${ROWS} rows, ${AT_ONCE} calls at once`, rows);
}

async function measure(work: Work): Promise<Row> {
  const phase = process.env["PHASE"];
  const isAsked = (name: string) => phase === undefined || phase === name;
  const whole = isAsked("whole") && (await withProvider("provider.ts", {}, ROWS, work));
  const slow = { LATENCY_MS: "20" };
  const killed =
    isAsked("killed") && (await withProvider("provider.ts", slow, ROWS, work, ROWS / 2));
  const limited =
    isAsked("limited") && (await withProvider("limited-provider.ts", LIMITS, LIMITED_ROWS, work));
  return {
    seconds: whole ? round(whole.seconds, 1) : "",
    "rows/s": whole ? round(ROWS / whole.seconds) : "",
    "RSS MB": whole ? round(whole.rss) : "",
    [`refused of ${LIMITED_ROWS}`]: limited ? limited.refused : "",
    "without answer then": limited ? limited.missing : "",
    "lost after kill -9": killed ? killed.missing : "",
    "asked twice": killed ? killed.calls - ROWS : "",
  };
}

async function withProvider(
  script: string,
  env: Record<string, string>,
  rows: number,
  work: Work,
  killAfter?: number,
) {
  const provider = await startScript(script, env);
  const folder = mkdtempSync(join(tmpdir(), "bench-tables-"));
  const input = join(folder, "rows.csv");
  const lines = Array.from({ length: rows }, (_, i) => `${i},number ${i}\n`);
  writeFileSync(input, `id,name\n${lines.join("")}`);
  const calls = async () => (await (await fetch(provider.url)).json()).count as number;
  const until =
    killAfter === undefined
      ? undefined
      : async () => {
          while ((await calls()) < killAfter) await Bun.sleep(20);
        };
  const outcome = await work(provider.url, input, until);
  const reported = await (await fetch(provider.url)).json();
  const refused = Array.isArray(reported)
    ? reported.filter(({ status }: { status: number }) => status === 429).length
    : 0;
  await provider.stop();
  rmSync(folder, { recursive: true, force: true });
  return { ...outcome, refused, calls: Number(reported.count ?? 0) };
}

const runnerWork: Work = async (provider, input, until) => {
  const folder = mkdtempSync(join(tmpdir(), "bench-tables-"));
  const env = {
    DATA_DIR: folder,
    OPENAI_BASE_URL: provider,
    OPENAI_API_KEY: "x",
    MAX_CONCURRENCY: AT_ONCE,
  };
  mkdirSync(join(folder, "files"), { recursive: true });
  writeFileSync(join(folder, "files/rows.csv"), readFileSync(input));
  let runner = await startRunner(env);
  const begun = performance.now();
  await runner.api("POST", "/batches", {
    id: "b",
    inputFile: "rows.csv",
    config: { model: "gpt-4o-mini", promptTemplate: `${PROMPT} {{name}}` },
  });
  await runner.api("POST", "/batches/b/execute");
  if (until) {
    await until();
    await runner.kill();
    runner = await startRunner(env);
  }
  await untilFinished(runner, "b");
  const response = await fetch(`${runner.url}/api/v1/batches/b/results?format=csv`, {
    headers: { authorization: "Bearer bench" },
  });
  const text = await response.text();
  const seconds = (performance.now() - begun) / 1000;
  const rss = peakMb(runner.pid);
  await runner.stop();
  rmSync(folder, { recursive: true, force: true });
  return { seconds, rss, missing: withoutAnswer(text, "result") };
};

function peerWork(python: string, script: string): Work {
  return async (provider, input, until) => {
    const state = mkdtempSync(join(tmpdir(), "bench-tables-"));
    const output = join(state, "..", `${state.split("/").at(-1)}.csv`);
    const env = {
      ...process.env,
      PROVIDER: provider,
      INPUT: input,
      OUTPUT: output,
      STATE: state,
      PROMPT,
      AT_ONCE,
      // Otherwise Ondine would fetch prices from another host first.
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
    };
    const start = () =>
      tracked(
        Bun.spawn([python, join(import.meta.dir, "peers", script)], {
          env,
          stdout: "ignore",
          stderr: process.env["VERBOSE"] ? "inherit" : "ignore",
        }),
      );
    let rss = 0;
    const begun = performance.now();
    let child = start();
    if (until) {
      await Promise.race([until(), child.exited]);
      child.kill("SIGKILL");
      await child.exited;
      child = start();
    }
    while (child.exitCode === null && child.signalCode === null) {
      rss = Math.max(rss, existsSync(`/proc/${child.pid}/status`) ? residentMb(child.pid) : 0);
      await Promise.race([child.exited, Bun.sleep(100)]);
    }
    const seconds = (performance.now() - begun) / 1000;
    const text = existsSync(output) ? readFileSync(output, "utf8") : "";
    for (const path of [state, output]) rmSync(path, { recursive: true, force: true });
    return { seconds, rss, missing: withoutAnswer(text, "answer", input) };
  };
}

/** The number of rows without an answer in a file of answers; all rows of the input if there is no such file. */
function withoutAnswer(text: string, column: string, input?: string): number {
  const rows: Record<string, string>[] = parse(text, { columns: true });
  const all =
    input === undefined ? rows.length : readFileSync(input, "utf8").split("\n").length - 2;
  return all - rows.filter((row) => (row[column] ?? "") !== "").length;
}

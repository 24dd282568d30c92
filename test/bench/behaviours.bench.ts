import { BEHAVIOURS, UNANNOUNCED } from "../support/limit-behaviours.ts";
import { type Behaviour, runWorld } from "../support/limit-world.ts";
import {
  median,
  printTable,
  round,
  type Row,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

/** The pacer, without configuration, against twelve kinds of limits in virtual time; then the whole program without limits. */
export async function benchBehaviours(): Promise<void> {
  printTable(
    "Twelve ways of limiting calls",
    BEHAVIOURS.map((behaviour) => {
      const { overIdeal, refused, failed } = runWorld(behaviour);
      return {
        behaviour: behaviour.name,
        calls: behaviour.calls,
        "time / ideal": round(overIdeal, 2),
        "refused %": round(refused * 100, 2),
        "after 100 ms": refusedPercent(behaviour, 100),
        "after 250 ms": refusedPercent(behaviour, 250),
        "rows failed": failed,
      };
    }),
  );
  printTable(
    "Limits that only refusals announce: refused % after 20, 100 and 250 ms",
    UNANNOUNCED.map((behaviour) => ({
      limit: behaviour.name,
      "after 20 ms": refusedPercent(behaviour, 20),
      "after 100 ms": refusedPercent(behaviour, 100),
      "after 250 ms": refusedPercent(behaviour, 250),
    })),
  );
  printTable("No limits and no headers, the whole program", await runUnlimited());
}

function refusedPercent(behaviour: Behaviour, refusalMs: number): number {
  return round(runWorld({ ...behaviour, refusalMs }).refused * 100, 2);
}

const ROWS = 2000;
const SLOTS = 256;
const LATENCY_MS = 300;
const SPREAD_MS = 200;
const REPEATS = Number(process.env["REPEATS"] ?? 5);

/**
 * 2,000 rows at 100 to 500 ms with 256 slots. The ideal is that all slots are in use from the first moment to the last.
 * Beside it runs a bare loop of the `openai` SDK with as many calls at once, which comes as near to the ideal as possible.
 */
async function runUnlimited(): Promise<Row[]> {
  const env = { LATENCY_MS: String(LATENCY_MS), SPREAD_MS: String(SPREAD_MS) };
  const provider = await startScript("provider.ts", env);
  const taken = { loop: [[], []], runner: [[], []] } as Record<string, [number[], number[]]>;
  for (let i = 0; i < REPEATS; i++) {
    for (const [kind, run] of [
      ["loop", runLoop],
      ["runner", runBatches],
    ] as const) {
      const [first, second] = await run(provider.url);
      taken[kind]?.[0].push(first);
      taken[kind]?.[1].push(second);
    }
  }
  await provider.stop();
  return [
    toRow("bare SDK loop, first run of a process", taken["loop"]?.[0] ?? []),
    toRow("bare SDK loop, second run", taken["loop"]?.[1] ?? []),
    toRow("first batch, nothing is known", taken["runner"]?.[0] ?? []),
    toRow("second batch", taken["runner"]?.[1] ?? []),
  ];
}

function toRow(what: string, seconds: number[]): Row {
  const idealSeconds = (ROWS * LATENCY_MS) / SLOTS / 1000;
  return {
    what,
    seconds: round(median(seconds), 2),
    "time / ideal": round(median(seconds) / idealSeconds, 2),
    least: round(Math.min(...seconds) / idealSeconds, 2),
    most: round(Math.max(...seconds) / idealSeconds, 2),
  };
}

/** Seconds of the first and the second run of a loop. */
async function runLoop(provider: string): Promise<[number, number]> {
  const env = { PROVIDER: provider, TASKS: String(ROWS), AT_ONCE: String(SLOTS) };
  const loop = await startScript("sdk-loop.ts", { ...env, BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" });
  const run = async () => ROWS / Number(await (await fetch(loop.url)).text());
  const seconds: [number, number] = [await run(), await run()];
  await loop.stop();
  return seconds;
}

/** Seconds of the first and the second batch of a server. */
async function runBatches(provider: string): Promise<[number, number]> {
  const runner = await startRunner({
    OPENAI_BASE_URL: provider,
    OPENAI_API_KEY: "sk-bench",
    MAX_CONCURRENCY: String(SLOTS),
  });
  const run = async (id: string) => {
    const tasks = Array.from({ length: ROWS }, (_, i) => ({ prompt: `row ${i}` }));
    await runner.api("POST", "/batches", { id, tasks });
    const begun = Date.now();
    await runner.api("POST", `/batches/${id}/execute`);
    const { completedAt } = await untilFinished(runner, id);
    return (Date.parse(completedAt) - begun) / 1000;
  };
  const seconds: [number, number] = [await run("first"), await run("second")];
  await runner.stop();
  return seconds;
}

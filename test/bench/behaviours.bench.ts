import { BEHAVIOURS } from "../support/limit-behaviours.ts";
import { runWorld } from "../support/limit-world.ts";
import { printTable, round, type Row, startRunner, startScript, untilFinished } from "./support.ts";

/** The pacer, without configuration, against twelve ways of limiting calls, in virtual time; then the program where there are none. */
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
        "rows failed": failed,
      };
    }),
  );
  printTable("No limits and no headers, the whole program", await runUnlimited());
}

const ROWS = 2000;
const SLOTS = 256;
const LATENCY_MS = 300;
const SPREAD_MS = 200;

/** 2,000 rows at 100 to 500 ms with 256 slots; ideal is when all slots are used from the first moment. */
async function runUnlimited(): Promise<Row[]> {
  const env = { LATENCY_MS: String(LATENCY_MS), SPREAD_MS: String(SPREAD_MS) };
  const provider = await startScript("provider.ts", env);
  const idealSeconds = (ROWS * LATENCY_MS) / SLOTS / 1000;
  const rows: Row[] = [];
  for (const what of ["first batch, nothing is known", "second batch"]) {
    const runner = await startRunner({
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: "sk-bench",
      MAX_CONCURRENCY: String(SLOTS),
    });
    const runs = what === "second batch" ? 2 : 1;
    let seconds = 0;
    for (let run = 1; run <= runs; run++) {
      const id = `unlimited-${run}`;
      const tasks = Array.from({ length: ROWS }, (_, i) => ({ prompt: `row ${i}` }));
      await runner.api("POST", "/batches", { id, tasks });
      const begun = performance.now();
      await runner.api("POST", `/batches/${id}/execute`);
      await untilFinished(runner, id);
      seconds = (performance.now() - begun) / 1000;
    }
    await runner.stop();
    rows.push({
      what,
      seconds: round(seconds, 2),
      "time / ideal": round(seconds / idealSeconds, 2),
    });
  }
  await provider.stop();
  return rows;
}

import { answerHelp } from "../../src/lib/script-help.ts";
/*
 * `bun run bench` measures everything, `bun run bench http throughput` only these two. Figures are printed beside a
 * baseline of the same run, because absolute figures mean little on shared machines.
 */
import { benchBatches } from "./batches.bench.ts";
import { benchBehaviours } from "./behaviours.bench.ts";
import { benchBounds } from "./bounds.bench.ts";
import { benchFairness } from "./fairness.bench.ts";
import { benchFleet } from "./fleet.bench.ts";
import { benchHistory } from "./history.bench.ts";
import { benchHttp } from "./http.bench.ts";
import { benchLatency } from "./latency.bench.ts";
import { benchLimits } from "./limits.bench.ts";
import { benchLive } from "./live.bench.ts";
import { benchMetrics } from "./metrics.bench.ts";
import { benchMonitor } from "./monitor.bench.ts";
import { benchOpenAiFile } from "./openai-file.bench.ts";
import { benchPacing } from "./pacing.bench.ts";
import { benchPeers } from "./peers.bench.ts";
import { benchRuntimes } from "./runtimes.bench.ts";
import { benchSchedules } from "./schedules.bench.ts";
import { benchSheets } from "./sheets.bench.ts";
import { benchSoak } from "./soak.bench.ts";
import { benchSse } from "./sse.bench.ts";
import { benchStalls } from "./stalls.bench.ts";
import { describeMachine, removeLeftovers } from "./support.ts";
import { benchTables } from "./tables.bench.ts";
import { benchThroughput } from "./throughput.bench.ts";
import { benchViewers } from "./viewers.bench.ts";
import { benchWebhooks } from "./webhooks.bench.ts";

answerHelp(import.meta.url);

const BENCHES: Record<string, () => Promise<void>> = {
  http: benchHttp,
  throughput: benchThroughput,
  peers: benchPeers,
  latency: benchLatency,
  live: benchLive,
  pacing: benchPacing,
  behaviours: benchBehaviours,
  history: benchHistory,
  limits: benchLimits,
  metrics: benchMetrics,
  batches: benchBatches,
  "openai-file": benchOpenAiFile,
  sheets: benchSheets,
  tables: benchTables,
  fairness: benchFairness,
  sse: benchSse,
  monitor: benchMonitor,
  viewers: benchViewers,
  schedules: benchSchedules,
  webhooks: benchWebhooks,
  fleet: benchFleet,
  runtimes: benchRuntimes,
  soak: benchSoak,
  stalls: benchStalls,
  bounds: benchBounds,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(", ")}; there are ${Object.keys(BENCHES).join(", ")}.`);
  process.exit(1);
}
// Also after an error, or a second run would measure beside the processes of the first.
process.on("exit", removeLeftovers);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
console.log(describeMachine());
for (const [name, bench] of Object.entries(BENCHES))
  if (asked.length === 0 || asked.includes(name)) await bench();

import type { Batch, Task } from "../client.ts";
import { pagesOf } from "../client.ts";
import type { Connection } from "../connect.ts";
import { count, dollars, duration } from "../format.ts";
import { plain } from "../terminal.ts";

/** The summary of a batch, for people and for programs. */
export type Summary = {
  batchId: string;
  name: string;
  status: Batch["status"];
  rows: Batch["progress"];
  isSimulated: boolean;
  usage: Batch["usage"];
  costUsd: number | null;
  seconds: number | null;
  latency: { p50: number; p95: number; sampled: number } | null;
  failures: { code: string; message: string; rows: number }[];
  pauseReason: Batch["pauseReason"];
  out: string | null;
};

/** The number of tasks for percentiles, which are ten requests. */
const MOST_SAMPLED = 1000;

export async function summarize(
  connection: Connection,
  batch: Batch,
  out: string | null,
): Promise<Summary> {
  const { startedAt, completedAt, progress } = batch;
  const ended = startedAt !== null && completedAt !== null;
  return {
    batchId: batch.id,
    name: batch.name,
    status: batch.status,
    rows: progress,
    isSimulated: batch.isDryRun,
    usage: batch.usage,
    costUsd: batch.costUsd,
    seconds: ended ? (Date.parse(completedAt) - Date.parse(startedAt)) / 1000 : null,
    latency: await latencyOf(connection, batch),
    failures: progress.failed > 0 ? await failuresOf(connection, batch) : [],
    pauseReason: batch.pauseReason,
    out,
  };
}

/** From the start of a row's first attempt to the end of its last. */
async function latencyOf({ api }: Connection, { id }: Batch): Promise<Summary["latency"]> {
  const seconds: number[] = [];
  const query = { batchId: id, status: "completed" };
  for await (const tasks of pagesOf<Pick<Task, "startedAt" | "completedAt">>(
    api,
    "/tasks",
    "tasks",
    query,
  )) {
    for (const { startedAt, completedAt } of tasks)
      if (startedAt !== null && completedAt !== null)
        seconds.push((Date.parse(completedAt) - Date.parse(startedAt)) / 1000);
    if (seconds.length >= MOST_SAMPLED) break;
  }
  if (seconds.length === 0) return null;
  const sorted = seconds.toSorted((a, b) => a - b);
  const at = (q: number) => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
  return { p50: at(0.5), p95: at(0.95), sampled: sorted.length };
}

/** Why rows failed: the first hundred of them, grouped by code. */
async function failuresOf({ api }: Connection, { id }: Batch): Promise<Summary["failures"]> {
  const query = { status: "failed", limit: 100 };
  const { tasks } = await api.call<Batch>(`/batches/${encodeURIComponent(id)}`, { query });
  const groups = new Map<string, Summary["failures"][number]>();
  for (const { error } of tasks) {
    if (error === null) continue;
    const group = groups.get(error.code) ?? { code: error.code, message: error.message, rows: 0 };
    group.rows++;
    groups.set(error.code, group);
  }
  return [...groups.values()].toSorted((a, b) => b.rows - a.rows);
}

export function describeSummary(summary: Summary): string {
  const { rows, usage, latency, seconds, failures, name } = summary;
  const others = [
    rows.failed > 0 ? `${rows.failed} failed` : "",
    rows.skipped > 0 ? `${rows.skipped} left out` : "",
    rows.cancelled > rows.skipped ? `${rows.cancelled - rows.skipped} cancelled` : "",
    rows.pending + rows.running > 0 ? `${rows.pending + rows.running} not run` : "",
    rows.cached > 0 ? `${rows.cached} reused` : "",
    rows.repaired > 0 ? `${rows.repaired} repaired` : "",
    rows.truncated > 0 ? `${rows.truncated} cut off` : "",
  ].filter((text) => text !== "");
  const cost = summary.isSimulated
    ? `nothing: the simulator answered; for real about ${dollars(summary.costUsd)}`
    : dollars(summary.costUsd);
  const sample = latency && latency.sampled < rows.completed ? ` (of ${latency.sampled})` : "";
  const lines: [string, string][] = [
    ["Rows", [`${rows.completed} of ${rows.total} answered`, ...others].join(", ")],
    ["Cost", `${cost} (${usage.promptTokens} tokens in, ${usage.completionTokens} out)`],
  ];
  if (seconds !== null) lines.push(["Time", duration(seconds)]);
  if (latency)
    lines.push([
      "Latency",
      `p50 ${latency.p50.toFixed(2)} s, p95 ${latency.p95.toFixed(2)} s${sample}`,
    ]);
  if (summary.out !== null) lines.push(["Results", summary.out]);
  return [
    "",
    `${plain(name)} (${summary.batchId})`,
    ...lines.map(([label, text]) => `  ${label.padEnd(9)}${text}`),
    ...failures.map(
      (one) =>
        `  ${count(one.rows, "row")} failed: ${one.code}: ${plain(one.message).slice(0, 200)}`,
    ),
  ].join("\n");
}

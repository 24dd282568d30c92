import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fillHistory } from "./history-fill.ts";
import {
  type BenchRunner,
  median,
  printTable,
  quantile,
  type Row,
  round,
  startRunner,
} from "./support.ts";

/** The requests that the page and other clients repeat. */
const PATHS = [
  "/metrics",
  "/metrics/tasks?period=hour",
  "/metrics/tasks?period=day",
  "/metrics/tasks?period=week",
  "/metrics/tasks?period=month",
  "/metrics/failures",
  "/status",
  "/status/services/workers",
  "/status/services/webhooks",
  "/tasks?limit=20",
  "/tasks?status=running&limit=8",
  "/tasks?status=failed&limit=20",
  "/batches?limit=20",
  "/batches/newest?limit=25",
  "/webhooks?limit=10",
];
const REQUESTS = 200;
/** Prometheus gets figures that are at most a second old, so requests at this interval compute them anew. */
const FRESH_REQUESTS = 10;
const FRESH_AFTER_MS = 1050;

/**
 * The cost of requests for metrics, status and lists with ten thousand and with millions of finished tasks stored
 * (`METRICS_TASKS` gives other numbers). A batch has a hundred tasks or more, and there was work in every minute of a month.
 */
export async function benchMetrics(): Promise<void> {
  const sizes = (process.env["METRICS_TASKS"] ?? "10000,1000000").split(",").map(Number);
  const results: { size: number; path: string; times: number[] }[] = [];
  for (const size of sizes) {
    const folder = mkdtempSync(join(tmpdir(), "bench-metrics-"));
    try {
      await (await startRunner({ DATA_DIR: folder })).stop();
      const begun = performance.now();
      await fillHistory(join(folder, "task-runner.db"), size);
      console.log(`${size} tasks stored in ${round((performance.now() - begun) / 1000)} s`);
      const runner = await startRunner({ DATA_DIR: folder });
      for (const [path, times] of await measure(runner)) results.push({ size, path, times });
      await runner.stop();
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  printTable("Metrics with history", toRows(sizes, results));
}

async function measure(runner: BenchRunner): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>();
  const once = async (path: string, ask: () => Promise<unknown>) => {
    const begun = performance.now();
    await ask();
    times.set(path, [...(times.get(path) ?? []), performance.now() - begun]);
  };
  for (const path of PATHS)
    for (let i = 0; i < REQUESTS; i++) await once(path, () => runner.api("GET", path));
  for (let i = 0; i < REQUESTS; i++) await once("readyz", () => text(`${runner.url}/readyz`));
  for (let i = 0; i < FRESH_REQUESTS; i++) {
    await Bun.sleep(FRESH_AFTER_MS);
    await once("Prometheus", () => text(`${runner.url}/metrics`));
  }
  return times;
}

async function text(url: string): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

function toRows(sizes: number[], results: { size: number; path: string; times: number[] }[]) {
  return [...Map.groupBy(results, ({ path }) => path)].map(([path, ofPath]): Row => {
    const p50s = ofPath.map(({ times }) => median(times));
    const row: Row = { path };
    for (const [i, size] of sizes.entries()) {
      row[`${size}: p50 ms`] = round(p50s[i] ?? Number.NaN, 2);
      row[`${size}: p99 ms`] = round(quantile(ofPath[i]?.times ?? [], 0.99), 2);
    }
    row["ratio of p50"] = round((p50s.at(-1) ?? Number.NaN) / (p50s[0] ?? Number.NaN), 2);
    return row;
  });
}

import type { Context } from "../context.ts";
import { HOUR_MS, MINUTE_MS, quantileOf } from "../domain/latency.ts";
import { type Period, PERIODS, stepsOf } from "../domain/period.ts";
import type { TaskStatus } from "../domain/task.ts";
import { listKeyNames } from "../store/api-keys.ts";
import { type FailureGroup, recentFailures } from "../store/failures.ts";
import {
  noSums,
  pruneRollups,
  readRollups,
  type Rollup,
  type RollupFilter,
  type RollupKey,
  rollupsSince,
  type RollupStatus,
} from "../store/rollups.ts";
import { readRows } from "../store/rows.ts";
import { readStock, type Stock, tasksOf, WAITING } from "../store/stock.ts";

export type SystemMetrics = {
  tasks: Stock & { pending: number };
  waiting: { depth: number; oldestAgeMs: number };
  performance: { averageExecutionMs: number; successRate: number; throughput: number };
};

const THROUGHPUT_MINUTES = 5;

/** The number of tasks, their durations in the last day, and how many were recently completed per minute. */
export async function systemMetrics(ctx: Context): Promise<SystemMetrics> {
  const now = ctx.clock.now();
  const [tasks, [queue], day] = await Promise.all([
    readStock(ctx),
    readRows(ctx.reads.client, WAITING),
    readSince(ctx, "at", { span: HOUR_MS, step: 24 * HOUR_MS, from: now - 24 * HOUR_MS }),
  ]);
  if (!queue) throw new Error("aggregates always have a row");
  const ended = addUp(day.filter(hasRun));
  const judged = tasks.completed + tasks.failed;
  return {
    tasks: {
      ...tasks,
      pending: tasksOf(tasks, "pending"),
    },
    waiting: {
      depth: queue.depth,
      oldestAgeMs: queue.oldestAt === null ? 0 : Math.max(0, now - queue.oldestAt),
    },
    performance: {
      averageExecutionMs: ended.sums.tasks === 0 ? 0 : ended.sums.duration_ms / ended.sums.tasks,
      successRate: judged === 0 ? 1 : tasks.completed / judged,
      throughput: await throughput(ctx, now),
    },
  };
}

/** Completed tasks per minute over the last five minutes. The first minute counts in proportion. */
async function throughput(ctx: Context, now: number): Promise<number> {
  const from = now - THROUGHPUT_MINUTES * MINUTE_MS;
  const first = Math.floor(from / MINUTE_MS) * MINUTE_MS;
  const filter = { span: MINUTE_MS, step: MINUTE_MS, from: first, status: "completed" as const };
  const share = 1 - (from - first) / MINUTE_MS;
  const completed = (await readSince(ctx, "at", filter)).reduce(
    (sum, { key, sums }) => sum + sums.tasks * (Number(key) === first ? share : 1),
    0,
  );
  return completed / THROUGHPUT_MINUTES;
}

export type Group = Pick<Rollup, "sums" | "buckets"> & { counts: Record<RollupStatus, number> };

export type TaskMetrics = {
  from: number;
  stepMs: number;
  totals: Group;
  series: { at: number; group: Group }[];
  byModel: Named[];
  byProvider: Named[];
  byKey: (Named & { keyId: string | null })[];
};

type Named = { name: string; group: Group };

/** The metrics of a period, in steps, and by model, provider and key. */
export async function taskMetrics(
  ctx: Context,
  query: { period: Period; status?: TaskStatus | undefined; model?: string | undefined },
): Promise<TaskMetrics> {
  const { span, step } = PERIODS[query.period];
  const steps = stepsOf(query.period, ctx.clock.now());
  const from = steps[0] ?? 0;
  // Rollups contain only ended tasks.
  const isEnded = query.status !== "pending" && query.status !== "running";
  const filter = { span, step, from, status: query.status as RollupStatus, model: query.model };
  const by = (key: RollupKey) => (isEnded ? readSince(ctx, key, filter) : []);
  const [times, models, providers, payers, names] = await Promise.all([
    by("at"),
    by("model"),
    by("provider"),
    by("api_key"),
    listKeyNames(ctx.reads.db),
  ]);
  const keys = new Map(names.map((key) => [key.seq, key]));
  const bySteps = Map.groupBy(times, ({ key }) => Number(key));
  return {
    from,
    stepMs: step,
    totals: addUp(times),
    series: steps.map((at) => ({ at, group: addUp(bySteps.get(at) ?? []) })),
    byModel: groupsOf(models),
    byProvider: groupsOf(providers.filter(hasRun)),
    byKey: groupsOf(payers).map(({ name, group }) => {
      const key = keys.get(Number(name));
      return { name: key?.name ?? "", keyId: key?.id ?? null, group };
    }),
  };
}

/** A percentile of the durations of a group's runs in ms; `null` if none ended. */
export function percentile({ buckets }: Pick<Group, "buckets">, q: number): number | null {
  return quantileOf(buckets, q) ?? null;
}

const LATEST_FAILURES = 500;

/** The causes of the newest failed tasks of the last day. */
export async function failureGroups(ctx: Context): Promise<FailureGroup[]> {
  const since = ctx.clock.now() - 24 * HOUR_MS;
  return readRows(ctx.reads.client, recentFailures(since, LATEST_FAILURES));
}

const KEEP_MINUTES_MS = 2 * 24 * HOUR_MS;
const KEEP_HOURS_MS = 400 * 24 * HOUR_MS;

/** Removes minutes after two days and hours after 400 days. */
export async function pruneMetrics(ctx: Pick<Context, "writer" | "clock">): Promise<void> {
  const now = ctx.clock.now();
  await ctx.writer.write({ old: pruneRollups(now - KEEP_MINUTES_MS, now - KEEP_HOURS_MS) });
}

async function readSince(ctx: Context, by: RollupKey, filter: Omit<RollupFilter, "by">) {
  return readRollups((await ctx.reads.client.execute(rollupsSince({ by, ...filter }))).rows);
}

function hasRun({ status }: Rollup): boolean {
  return status === "completed" || status === "failed";
}

function groupsOf(rows: Rollup[]): Named[] {
  return [...Map.groupBy(rows, ({ key }) => key)]
    .map(([name, group]) => ({ name, group: addUp(group) }))
    .toSorted((a, b) => b.group.sums.tasks - a.group.sums.tasks);
}

/** Adds up rollups; created and cancelled tasks are counted separately. */
function addUp(rows: Rollup[]): Group {
  const counts = { created: 0, completed: 0, failed: 0, cancelled: 0 };
  const sums = noSums();
  const buckets: number[] = [];
  for (const row of rows) {
    counts[row.status] += row.sums.tasks;
    if (!hasRun(row)) continue;
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += row.sums[name];
    for (const [i, count] of row.buckets.entries()) buckets[i] = (buckets[i] ?? 0) + count;
  }
  return { counts, sums, buckets };
}

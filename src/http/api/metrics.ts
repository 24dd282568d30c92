import { z } from "@hono/zod-openapi";

import { PERIOD_NAMES } from "../../domain/period.ts";
import {
  failureGroups,
  type Group,
  percentile,
  systemMetrics,
  type TaskMetrics,
  taskMetrics,
} from "../../services/metrics.ts";
import type { FailureGroup } from "../../store/failures.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";
import { TaskStatusName } from "./task-body.ts";

const count = (description: string) => z.number().int().openapi({ description });
const figure = (description: string) => z.number().openapi({ description });

const SystemMetrics = z
  .object({
    tasks: z
      .object({
        total: count("All tasks that are stored, of batches and single ones"),
        completed: z.number().int(),
        failed: z.number().int(),
        pending: count("Created or queued, and not yet started"),
        running: count("Started, and not yet answered"),
        cancelled: z.number().int(),
      })
      .openapi("TaskCounts"),
    performance: z
      .object({
        averageExecutionTime: figure(
          "Seconds from the start of the first attempt to the end of the last, over what ended in the last 24 hours; 0 if nothing did",
        ),
        successRate: figure(
          "completed / (completed + failed) of the stored tasks; 1 if none ended",
        ),
        throughput: figure("Completed tasks per minute over the last five minutes"),
      })
      .openapi("Performance"),
    queue: z
      .object({
        depth: count(
          "Tasks that wait to be started, retries included; of running batches and single",
        ),
        oldestAge: figure("Seconds that the oldest of those that could start at once has waited"),
      })
      .openapi("QueueMetrics"),
    system: z
      .object({
        cpuUsage: figure(
          "Share (0-1) of all processors that this process used in the last 5 seconds",
        ),
        memoryUsage: figure("Share (0-1) of the machine's or container's memory that it holds"),
        activeConnections: count("Requests and event streams that this process has open"),
        eventLoopLag: figure("Seconds; the worst of the last 5 seconds"),
      })
      .openapi("SystemLoad"),
  })
  .openapi("SystemMetrics");

const nullable = (description: string) => z.number().nullable().openapi({ description });

const Latency = z
  .object({
    p50: nullable("Seconds that half of the executions did not exceed; null if none ended"),
    p95: z.number().nullable(),
    p99: z.number().nullable(),
  })
  .openapi("LatencyPercentiles", {
    description:
      "Execution times (first attempt's start to last attempt's end, pauses included) of completed and failed runs, from a histogram with six buckets to a power of ten: good to about a quarter",
  });

const Figures = z
  .object({
    created: count("Tasks created"),
    completed: count("Executions that completed"),
    failed: count("Executions that failed for good"),
    cancelled: count("Tasks cancelled"),
    retries: count("Attempts beyond the first of the executions that ended"),
    averageExecutionTime: nullable("Seconds; null if nothing ended"),
    averageWaitTime: nullable("Seconds from execute to the first attempt; null if nothing ended"),
    latency: Latency,
    tokens: z
      .object({
        prompt: z.number().int(),
        completion: z.number().int(),
        cached: z.number().int(),
        reasoning: z.number().int(),
        total: count("prompt + completion"),
      })
      .openapi("TokenCounts"),
    costUsd: figure("Sum over the executions with a known price; dry runs cost nothing"),
    unpriced: count("Executions with usage and without a known price; in no sum of money"),
  })
  .openapi("TaskFigures");

export const TaskMetricsBody = z
  .object({
    period: z.enum(PERIOD_NAMES),
    from: Time,
    step: count("Seconds between two points of the series"),
    totals: Figures,
    series: z.array(Figures.extend({ time: Time }).openapi("TaskFiguresOfTime")).openapi({
      description: "One point per step, oldest first, empty ones included; the last is in progress",
    }),
    latency: Latency,
    tokens: Figures.shape.tokens,
    costUsd: Figures.shape.costUsd,
    byModel: z.array(Figures.extend({ model: z.string() }).openapi("TaskFiguresOfModel")),
    byProvider: z.array(Figures.extend({ provider: z.string() }).openapi("TaskFiguresOfProvider")),
    byKey: z.array(
      Figures.extend({ keyId: z.string().nullable(), name: z.string() }).openapi(
        "TaskFiguresOfApiKey",
      ),
    ),
  })
  .openapi("TaskMetrics");

const system = route({
  operationId: "getMetrics",
  method: "get",
  path: "/metrics",
  tags: ["metrics"],
  summary: "Get system metrics",
  ...needs("read"),
  responses: { 200: json(SystemMetrics, "The metrics of the system") },
});

const tasks = route({
  operationId: "getTaskMetrics",
  method: "get",
  path: "/metrics/tasks",
  tags: ["metrics"],
  summary: "Get task metrics of a period",
  description:
    "Counts what happened in the period, when it happened: an execution counts where it ended. A task that was executed twice counts twice; deleting a task does not change the past. Minutes are kept for two days, hours for 400.",
  ...needs("read"),
  request: {
    query: z.strictObject({
      period: z.enum(PERIOD_NAMES).default("day").openapi({
        description: "`hour` in steps of a minute, `day` of ten, `week` of an hour, `month` of six",
      }),
      status: TaskStatusName.optional().openapi({
        param: {
          description:
            "Only tasks that ended with this status. `pending` and `running` are not ends, so they select nothing",
        },
      }),
      model: z.string().max(200).optional().openapi({ description: "Only tasks that name it" }),
    }),
  },
  responses: { 200: json(TaskMetricsBody, "The metrics of the period") },
});

export const FailureGroups = z.array(
  z
    .object({
      code: z.string(),
      model: z.string(),
      count: z.number().int(),
      message: z.string().openapi({ description: "The message of the latest" }),
      taskId: z.string().openapi({ description: "The latest" }),
      batchId: z.string().nullable(),
      at: Time,
    })
    .openapi("FailureGroup"),
);

const failed = route({
  operationId: "listFailures",
  method: "get",
  path: "/metrics/failures",
  tags: ["metrics"],
  summary: "Get recent failures, grouped by cause",
  description:
    "The newest 500 of the failed tasks that were created in the last 24 hours, grouped by error code and model, the latest first.",
  ...needs("read"),
  responses: {
    200: json(
      z.object({ failures: FailureGroups }).openapi("FailureGroupList"),
      "The causes of failures",
    ),
  },
});

export const metricsRoutes = createRouter()
  .openapi(system, async (c) => {
    const { tasks, waiting, performance } = await systemMetrics(c.var.ctx);
    const { load } = c.var.ctx;
    const { total, completed, failed, pending, running, cancelled } = tasks;
    return c.json(
      success(c, {
        tasks: { total, completed, failed, pending, running, cancelled },
        performance: {
          averageExecutionTime: seconds(performance.averageExecutionMs),
          successRate: round(performance.successRate, 4),
          throughput: round(performance.throughput, 2),
        },
        queue: { depth: waiting.depth, oldestAge: seconds(waiting.oldestAgeMs) },
        system: {
          cpuUsage: load.cpu(),
          memoryUsage: load.memory(),
          activeConnections: c.var.connections.open(),
          eventLoopLag: seconds(load.lagMs()),
        },
      }),
      200,
    );
  })
  .openapi(failed, async (c) => {
    const groups = await failureGroups(c.var.ctx);
    return c.json(success(c, { failures: groups.map(toFailureGroup) }), 200);
  })
  .openapi(tasks, async (c) => {
    const query = c.req.valid("query");
    const metrics = await taskMetrics(c.var.ctx, query);
    return c.json(success(c, { period: query.period, ...toBody(metrics) }), 200);
  });

function toFailureGroup(group: FailureGroup): z.infer<typeof FailureGroups>[number] {
  return { ...group, batchId: group.batchId || null, at: toIso(group.at) };
}

function toBody(metrics: TaskMetrics): Omit<z.infer<typeof TaskMetricsBody>, "period"> {
  const totals = toFigures(metrics.totals);
  return {
    from: toIso(metrics.from),
    step: metrics.stepMs / 1000,
    totals,
    series: metrics.series.map(({ at, group }) => ({ time: toIso(at), ...toFigures(group) })),
    byModel: metrics.byModel.map(({ name, group }) => ({ model: name, ...toFigures(group) })),
    byProvider: metrics.byProvider.map(({ name, group }) => ({
      provider: name,
      ...toFigures(group),
    })),
    byKey: metrics.byKey.map(({ keyId, name, group }) => ({ keyId, name, ...toFigures(group) })),
    latency: totals.latency,
    tokens: totals.tokens,
    costUsd: totals.costUsd,
  };
}

function toFigures(group: Group): z.infer<typeof Figures> {
  const { counts, sums } = group;
  const mean = (sum: number) => (sums.tasks === 0 ? null : seconds(sum / sums.tasks));
  const at = (q: number) => {
    const ms = percentile(group, q);
    return ms === null ? null : seconds(ms);
  };
  return {
    ...counts,
    retries: sums.attempts - sums.tasks,
    averageExecutionTime: mean(sums.duration_ms),
    averageWaitTime: mean(sums.wait_ms),
    latency: { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
    tokens: {
      prompt: sums.prompt_tokens,
      completion: sums.completion_tokens,
      cached: sums.cached_tokens,
      reasoning: sums.reasoning_tokens,
      total: sums.prompt_tokens + sums.completion_tokens,
    },
    costUsd: round(sums.cost_usd, 8),
    unpriced: sums.unpriced,
  };
}

function seconds(ms: number): number {
  return round(ms / 1000, 4);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

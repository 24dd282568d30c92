import { z } from "@hono/zod-openapi";

import { BREAKER_STATES } from "../../domain/breaker.ts";
import { BUCKET_KINDS } from "../../domain/bucket.ts";
import { HEALTH_NAMES } from "../../domain/health.ts";
import { RUN_STATUSES } from "../../domain/schedule.ts";
import { route } from "../route.ts";
import { createRouter, needs, Time } from "../router.ts";
import { AccessToken, hold, STREAM_HEADERS } from "../sse.ts";
import { requireWholeGrant } from "../stream-access.ts";
import { BatchStatusName } from "./batch-body.ts";

const int = z.number().int();

const LiveProgress = z
  .object({
    total: int,
    completed: int,
    failed: int,
    cancelled: int,
    pending: int,
    running: int,
  })
  .openapi("LiveProgress", {
    description: "total = completed + failed + cancelled + pending + running",
  });

const LiveBatch = z
  .object({
    name: z.string(),
    status: BatchStatusName,
    progress: LiveProgress,
    isDryRun: z.boolean(),
    perMinute: int.openapi({ description: "Tasks that end per minute, over the last 15 seconds" }),
    createdAt: Time,
    costUsd: z
      .number()
      .optional()
      .openapi({ description: "Absent if no answer has a known price" }),
    maxCostUsd: z.number().optional(),
    startedAt: Time.optional(),
    completedAt: Time.optional(),
    estimatedCompletionAt: Time.optional(),
    inputBatch: z.string().optional(),
    pauseReason: z
      .object({ code: z.string(), message: z.string() })
      .openapi("LivePauseReason")
      .optional(),
    waiting: z
      .object({ reason: z.string(), until: Time.optional() })
      .openapi("LiveWaiting")
      .optional(),
    chainError: z.string().optional(),
    startsWithItsRows: z.boolean().optional().openapi({
      description: "For a batch that waits for its `inputBatch`: whether it starts then",
    }),
  })
  .openapi("LiveBatch");

const LiveBucket = z
  .object({
    source: z.enum(BUCKET_KINDS),
    perMinute: z.number().optional(),
    remaining: z.number().optional(),
  })
  .openapi("LiveBucket", { description: "A limit of a minute, and what is left of it" });

const LiveProvider = z
  .object({
    isSimulator: z.boolean(),
    models: z.array(z.string()),
    inFlight: int.optional(),
    maxConcurrency: int.optional(),
    breaker: z.enum(BREAKER_STATES).optional(),
    openUntil: Time.optional(),
    keysOut: int.optional(),
    pacers: z
      .array(
        z
          .object({
            model: z.string(),
            key: int,
            isFlex: z.boolean(),
            wait: z.number().openapi({ description: "Seconds until the next call may start" }),
            inFlight: int,
            requests: LiveBucket,
            tokens: LiveBucket,
            blockedUntil: Time.optional(),
          })
          .openapi("LivePacer"),
      )
      .optional(),
  })
  .openapi("LiveProvider", {
    description:
      "As the answering process sees it; without `pacers` if that process executes no tasks",
  });

const named = <S extends z.ZodType>(schema: S, description: string) =>
  z.record(z.string(), schema).openapi({ description });

/** A sign of changes, for clients that show the noun. */
const revision = (name: string, description: string) =>
  z.object({ revision: z.string().openapi({ description }) }).openapi(name);

export const LiveState = z
  .object({
    at: Time.openapi({ description: "The time of the whole state" }),
    tasks: LiveProgress,
    usage: z
      .object({ promptTokens: int, completionTokens: int, costUsd: z.number() })
      .openapi("LiveUsage"),
    rates: z
      .object({
        endedPerMinute: int.openapi({ description: "Tasks, over the last 15 seconds" }),
        completedPerMinute: z.number().openapi({ description: "Over the last five minutes" }),
      })
      .openapi("LiveRates"),
    queue: z.object({ depth: int, oldestAt: Time.optional() }).openapi("LiveQueue"),
    system: z
      .object({
        cpuUsage: z.number(),
        memoryUsage: z.number(),
        activeConnections: int,
        eventLoopLag: z.number(),
      })
      .openapi("LiveSystem"),
    batches: named(LiveBatch, "By id: the newest 20, and those that run (50) or are paused (30)"),
    calls: named(
      z
        .object({
          model: z.string(),
          batch: z.string().optional(),
          attempt: int,
          startedAt: Time.optional(),
        })
        .openapi("LiveCall"),
      "Calls in flight by the id of their task: of each process the oldest, 12 in all",
    ),
    models: named(
      z
        .object({ completed: int, failed: int, tokens: int, costUsd: z.number() })
        .openapi("LiveModel"),
      "Tasks that ended in the last 24 hours, by model",
    ),
    providers: named(LiveProvider, "By name"),
    nodes: named(
      z
        .object({ runsTasks: z.boolean(), running: int, startedAt: Time, heartbeatAt: Time })
        .openapi("LiveNode"),
      "The processes that share the database, by number",
    ),
    schedules: z
      .object({
        total: int,
        active: int,
        revision: z.string().openapi({
          description: "Changes when a schedule was changed, or a run began or ended",
        }),
        due: named(
          z
            .object({
              name: z.string(),
              nextRun: Time,
              lastRunStatus: z.enum(RUN_STATUSES).optional(),
            })
            .openapi("LiveDueSchedule"),
          "The ten that fire next, by id",
        ),
      })
      .openapi("LiveSchedules"),
    webhooks: z
      .object({
        total: int,
        active: int,
        failing: int,
        waiting: int.openapi({ description: "Deliveries that wait" }),
        revision: z.string().openapi({
          description: "Changes when a webhook was changed, or there is something to deliver",
        }),
      })
      .openapi("LiveWebhooks"),
    keys: revision("LiveKeys", "Changes when an API key is created, changed or revoked"),
    files: revision("LiveFiles", "Changes when a file is stored or deleted"),
    audit: revision("LiveAudit", "Changes with each entry of the audit log"),
    alerts: named(
      z
        .object({
          code: z.string(),
          subject: z.string().optional(),
          message: z.string(),
          raisedAt: Time,
        })
        .openapi("LiveAlert"),
      "The open alerts",
    ),
    health: z
      .object({
        status: z.enum(HEALTH_NAMES),
        reasons: z.array(
          z.object({ service: z.string(), reason: z.string() }).openapi("LiveReason"),
        ),
      })
      .openapi("LiveHealth", { description: "At most five seconds old" }),
  })
  .openapi("LiveState", {
    description: "The state of a live view. Nothing is null: members without a value are absent",
  });

const live = route({
  operationId: "streamLiveState",
  method: "get",
  path: "/live",
  tags: ["events"],
  summary: "Follow sums: totals, running batches, calls, providers, nodes, alerts",
  description:
    "For dashboards. The server computes the state once for all who follow it, at most four times a second, and all of " +
    "a state is of the same moment. `state` comes first, with the whole as its `data` (`LiveState`); each `patch` that follows is a " +
    "JSON Merge Patch (RFC 7396) of the changes, with the time `at`. A client that cannot keep up gets another `state`. " +
    "Nothing is missed by reconnecting, because a stream begins with the whole state. A comment comes at least every ten seconds. With " +
    "`Accept: application/json` the answer is only the state, once.",
  ...needs("read"),
  request: { query: z.strictObject({ access_token: AccessToken }) },
  responses: {
    200: {
      description: "Server-sent events, or the current state",
      content: {
        "text/event-stream": { schema: z.string() },
        "application/json": { schema: LiveState },
      },
    },
  },
});

export const liveRoutes = createRouter().openapi(live, async (c) => {
  requireWholeGrant(c.var.grant);
  const accepts = c.req.header("accept") ?? "";
  if (accepts.includes("application/json") && !accepts.includes("text/event-stream"))
    return c.json(await c.var.liveHub.read(), 200);
  return c.body(await hold(c, (reader) => c.var.liveHub.open(reader)), 200, STREAM_HEADERS);
});

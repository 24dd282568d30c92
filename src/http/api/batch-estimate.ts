import { z } from "@hono/zod-openapi";

import { ASSUMED_OUTPUT_TOKENS } from "../../domain/estimate.ts";
import { estimateBatch } from "../../services/estimate.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, orNull, success } from "../router.ts";
import { BatchParams } from "./batches.ts";

const CostRange = z
  .object({ min: z.number(), max: z.number() })
  .openapi("CostRange", { description: "In USD; null if the price of a task is unknown" });

const TokenRange = z.object({ min: z.number().int(), max: z.number().int() }).openapi("TokenRange");

/** The estimate for rows that are not a batch yet. */
export const BasicEstimate = z
  .object({
    tasks: z.number().int(),
    sampledTasks: z.number().int(),
    promptTokens: z.number().int(),
    completionTokens: TokenRange,
    costUsd: orNull(CostRange),
    unpricedModels: z.array(z.string()),
    durationSeconds: z.number(),
  })
  .openapi("BasicEstimate");

const Measured = z
  .object({
    rows: z.number().int(),
    promptTokensPerRow: z.number(),
    completionTokensPerRow: z.number(),
    costUsdPerRow: z.number().nullable(),
    costUsd: z.number().nullable().openapi({ description: "What the rest will cost at that rate" }),
  })
  .openapi("MeasuredRows", {
    description:
      "What the rows that have run took, such as those of a pilot; null where none has, or in a dry run. " +
      "Cost is null where a price is not known",
  });

export const BatchEstimate = z
  .object({
    tasks: z.number().int(),
    sampledTasks: z.number().int(),
    differentRequests: z
      .number()
      .int()
      .nullable()
      .openapi({
        description:
          "How many different requests the tasks have: with `cache: true` that many are paid for. " +
          "Null beyond 100,000 tasks",
      }),
    reused: z
      .number()
      .int()
      .nullable()
      .openapi({
        description:
          "How many of the tasks reuse an answer of `baseBatch`; tokens, cost and duration are those of the " +
          "others. Null without a `baseBatch`",
      }),
    promptTokens: z.number().int(),
    completionTokens: TokenRange,
    costUsd: orNull(CostRange),
    unpricedModels: z.array(z.string()),
    durationSeconds: z.number(),
    concurrency: z.number().int(),
    secondsPerCall: z.number(),
    measured: orNull(Measured),
  })
  .openapi("BatchEstimate");

const estimate = route({
  operationId: "getBatchEstimate",
  method: "get",
  path: "/batches/{id}/estimate",
  tags: ["batches"],
  summary: "Estimate what the rest of a batch will take",
  description:
    "Of the tasks that have not ended. Tokens of prompts are counted with the model's tokenizer: of " +
    "every task where there are up to 1,000, else of 1,000 (`sampledTasks`) spread evenly; a " +
    "long text by a sample of it. An answer " +
    `has at least one token and at most what the task allows, or ${ASSUMED_OUTPUT_TOKENS} where it sets no ` +
    "limit. The duration is that of so many calls, `concurrency` at once, each taking what the last " +
    "200 took on average (two seconds before the first); waiting for the provider's limits is not in it.",
  ...needs("read"),
  request: { params: BatchParams },
  responses: {
    200: json(BatchEstimate, "The estimate"),
    ...failures(404, 409),
  },
});

export const batchEstimateRoutes = createRouter().openapi(estimate, async (c) => {
  return c.json(success(c, await estimateBatch(c.var.ctx, c.req.valid("param").id)), 200);
});

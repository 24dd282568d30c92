import { z } from "@hono/zod-openapi";

import { COMPARISON_FORMATS } from "../../domain/compare-format.ts";
import { getBatch } from "../../services/batches.ts";
import { prepareComparison } from "../../services/compare.ts";
import { CONTENT_TYPES, downloads, sendDownload } from "../download.ts";
import { failures } from "../failures.ts";
import { flag } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, FreeObject, needs } from "../router.ts";
import { toBytes } from "../stream.ts";
import { BatchId } from "./batches.ts";

const compare = route({
  operationId: "compareBatches",
  method: "get",
  path: "/batches/compare",
  tags: ["batches"],
  summary: "Compare the answers of two batches side by side",
  description:
    "For instance of one file with two models or two prompts. Each row has its input and, of both batches, " +
    "status, answer, error, model, cost and duration (from its start to its end, retries included), and whether " +
    "the answers are equal: the same text except for blanks at its ends, or the same JSON. By position the inputs " +
    "must be the same; by id (`id`, `custom_id` or `original_id` of the input's rows, up to 200,000 rows) rows that one batch " +
    "does not have appear alone.",
  ...needs("read"),
  request: {
    query: z.strictObject({
      left: BatchId,
      right: BatchId,
      by: z.enum(["position", "id"]).default("position"),
      differing: flag("Leave out rows whose answers are equal"),
      format: z.enum(COMPARISON_FORMATS).default("csv"),
      safe: flag("Neutralise cells that a spreadsheet would run as formulas"),
      bom: flag("Begin a CSV with a byte order mark, so that Excel recognises UTF-8"),
    }),
  },
  responses: {
    ...downloads("The comparison, streamed", {
      "text/csv": { schema: z.string() },
      "application/jsonl": { schema: z.string() },
      "application/json": { schema: z.array(FreeObject) },
    }),
    ...failures(404),
  },
});

export const batchCompareRoutes = createRouter().openapi(compare, async (c) => {
  const { left, right, format, ...options } = c.req.valid("query");
  const { ctx } = c.var;
  const sides = { left: await getBatch(ctx, left), right: await getBatch(ctx, right) };
  const read = await prepareComparison(ctx, { ...sides, ...options, format });
  return sendDownload(c, {
    name: `${left}-${right}.${format}`.replaceAll(":", "_"),
    type: CONTENT_TYPES[format],
    tag: null,
    content: { read: () => toBytes(read()) },
  });
});

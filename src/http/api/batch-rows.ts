import { z } from "@hono/zod-openapi";

import { errorText } from "../../domain/result-row.ts";
import { executionId } from "../../domain/task.ts";
import { getBatch } from "../../services/batches.ts";
import { listRows, type RowPage } from "../../services/rows.ts";
import { failures } from "../failures.ts";
import { whole } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success } from "../router.ts";
import { Contains } from "./batch-body.ts";
import { BatchParams } from "./batches.ts";
import { TaskStatusName } from "./task-body.ts";

/** Longer cells are cut; the task has the full text. */
const MOST_CELL_CHARACTERS = 1000;

const BatchRow = z
  .object({
    position: z.number().int(),
    taskId: z.string(),
    status: TaskStatusName,
    cells: z.array(z.union([z.string(), z.number(), z.boolean(), z.null()])).openapi({
      description: `One for each of \`columns\`; a text of more than ${MOST_CELL_CHARACTERS} characters is cut and ends with …`,
    }),
    error: z.string().nullable().openapi({ description: "Its code and message" }),
    model: z.string(),
    costUsd: z.number().nullable(),
    durationMs: z.number().int().nullable(),
    attempts: z.number().int().nullable(),
    executionId: z.string().nullable(),
  })
  .openapi("BatchRow");

export const BatchRows = z
  .object({
    columns: z.array(z.string()),
    inputs: z.number().int().openapi({
      description: "How many of the columns belong to the input; the others belong to the answer",
    }),
    rows: z.array(BatchRow),
    next: z.number().int().nullable().openapi({
      description: "`after` of the next page; null if there is none",
    }),
  })
  .openapi("BatchRowPage");

const list = route({
  operationId: "listBatchRows",
  method: "get",
  path: "/batches/{id}/rows",
  tags: ["batches"],
  summary: "List the rows of a batch: input and answer columns, status, cost, duration",
  description:
    "For tables on a screen. Rows come in the order of the input, from any position: of a batch of which no task was deleted, row n has " +
    "position n - 1. A page that searches for a text ends after half a second at most, and may have fewer rows than `limit`, or none; " +
    "`next` then continues.",
  ...needs("read"),
  request: {
    params: BatchParams,
    query: z.strictObject({
      after: z
        .string()
        .regex(/^(-1|\d{1,9})$/, "must be the position of a row, from 0, or -1")
        .transform(Number)
        .default(-1)
        .openapi({
          type: "integer",
          minimum: -1,
          default: -1,
          description: "Begin after the row with this position",
        }),
      limit: whole(1, 200, { default: 100, description: "Rows per page" }),
      status: TaskStatusName.optional(),
      contains: Contains,
    }),
  },
  responses: { 200: json(BatchRows, "A page of rows"), ...failures(404) },
});

export const batchRowRoutes = createRouter().openapi(list, async (c) => {
  const { after, limit, status, contains } = c.req.valid("query");
  const batch = await getBatch(c.var.ctx, c.req.valid("param").id);
  const page = await listRows(c.var.ctx, batch, { after, limit, status, contains });
  const { columns, inputs, next } = page;
  return c.json(success(c, { columns, inputs, rows: page.rows.map(toBody), next }), 200);
});

function toBody({ row, cells }: RowPage["rows"][number]): z.infer<typeof BatchRow> {
  return {
    position: row.position,
    taskId: row.id,
    status: row.status,
    cells: cells.map((cell) => (typeof cell === "string" ? cut(cell) : cell)),
    error: row.error === null ? null : cut(errorText(row.error)),
    model: row.calledModel ?? row.model,
    costUsd: row.costUsd,
    durationMs: row.durationMs,
    attempts: row.attempts,
    executionId: row.run === null ? null : executionId(row.seq, row.run),
  };
}

function cut(text: string): string {
  if (text.length <= MOST_CELL_CHARACTERS) return text;
  // Does not cut a surrogate pair.
  return `${text.slice(0, MOST_CELL_CHARACTERS).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

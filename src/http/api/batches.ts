import { z } from "@hono/zod-openapi";

import { RESULT_FORMATS } from "../../domain/result-format.ts";
import { BatchConfig, Id, IdempotencyKey, TaskInput } from "../../domain/task-input.ts";
import { Description, FilePath, Name, textOf } from "../../domain/text.ts";
import * as service from "../../services/batches.ts";
import { requireBudget } from "../../services/budgets.ts";
import { createBatch } from "../../services/create-batch.ts";
import { requireSameResults, resultsTag } from "../../services/results-tag.ts";
import { formatOfResults, requireRoomFor, streamResults } from "../../services/results.ts";
import { rowFilter } from "../../services/rows.ts";
import { tasksOf } from "../../store/stock.ts";
import { holdWait } from "../connections.ts";
import { CONTENT_TYPES, downloads, sendDownload } from "../download.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { idempotencyKeyOf, readWait, waitApplied } from "../headers.ts";
import {
  flag,
  nameOrTime,
  PAGE_AND_LIMIT,
  pageQuery,
  Pagination,
  pagination,
  toPage,
} from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, FreeObject, json, needs, requiredBody, success, toIso } from "../router.ts";
import { toBytes } from "../stream.ts";
import {
  BatchBody,
  Contains,
  BatchListItem,
  BatchStatusName,
  CreatedBatch,
  toListItem,
  toOutlook,
  toTaskInBatch,
} from "./batch-body.ts";
import { IdempotencyHeader, waitHeader } from "./run-options.ts";
import { TaskStatusName } from "./task-body.ts";

export const BatchId = Id.openapi({ example: "batch-001" });
export const BatchParams = z.object({ id: BatchId.openapi({ param: { name: "id", in: "path" } }) });

const MAX_INLINE_TASKS = 50_000;

const NewBatchId = BatchId.refine(
  (id) => id !== "compare",
  "must not be compare, which is an address of its own",
);

const BatchCreation = z
  .strictObject({
    id: NewBatchId.optional(),
    name: Name.optional(),
    description: Description.optional(),
    tasks: z.array(TaskInput).min(1).max(MAX_INLINE_TASKS).optional(),
    inputFile: FilePath.optional().openapi({
      description:
        "The id of an upload, a file in the files folder (a path relative to it, or an absolute one below it), or an " +
        "`https://` URL, of which nothing is kept but the address without its query",
    }),
    inputBatch: BatchId.optional().openapi({
      description:
        "Another batch: its rows, with the columns of their answers (those of its `config.output`, or `result`), are variables " +
        "here. `config.promptTemplate` makes the prompts; ids, prompts and models of that batch are not taken over. Rows without " +
        "an answer end as `skipped`. If that batch has not ended, this one waits for it, without tasks, as `chain` says. What becomes of that batch later changes nothing here",
    }),
    scopedIds: z
      .boolean()
      .optional()
      .openapi({
        description:
          "Ids and idempotency keys of the rows hold only within this batch, so that the same file can be the input of many: " +
          "the task of a row `a` is called `BATCH.a`, and results have the row's own id. Unless set, the ids of a file do so if one " +
          "of them is that of another task; if false, such a file is refused",
      }),
    outputFile: FilePath.optional(),
    baseBatch: BatchId.optional().openapi({
      description:
        "A batch whose answers are reused, without a call and at no cost, for rows whose request is " +
        "identical, as `cache: true` compares them. What it has answered by now counts: whole answers of real runs, " +
        "by the model that was asked for. A row whose answer is deleted before it runs is sent, and so is one that is executed again",
      example: "batch-000",
    }),
    metadata: z.record(z.string(), z.unknown()).optional(),
    config: BatchConfig.optional(),
    idempotencyKey: IdempotencyKey.optional(),
  })
  .openapi("BatchCreation", {
    example: {
      id: "batch-001",
      name: "Creative Writing Tasks",
      tasks: [{ id: "task-001", prompt: "Write a haiku about programming" }],
      config: { model: "gpt-4", temperature: 0.7, maxConcurrency: 5 },
    },
  });

const create = route({
  operationId: "createBatch",
  method: "post",
  path: "/batches",
  tags: ["batches"],
  summary: "Create a batch",
  description:
    "From `tasks`, from the answers of another batch (`inputBatch`), or from a table (`inputFile`: CSV, XLSX, Parquet, JSONL, or a JSON array of objects) whose columns `id, prompt, messages, model, temperature, " +
    "maxTokens, metadata, batch_id, corr_id, idempotency_key` mean what they say; all others are " +
    "variables for `{{column}}` in `config.promptTemplate` and `config.systemPrompt`. Where an id of a file is that of another " +
    "task already, the ids of all of its tasks begin with the batch's id and a full stop (`input.idPrefix`). A batch is " +
    "created whole or not at all.",
  ...needs("write"),
  request: {
    headers: IdempotencyHeader,
    body: requiredBody(BatchCreation),
  },
  responses: {
    201: json(CreatedBatch, "The new batch"),
    200: json(
      CreatedBatch,
      "The batch that the idempotency key made before",
      "Idempotency-Replayed",
    ),
    ...failures(404, 409),
  },
});

const list = route({
  operationId: "listBatches",
  method: "get",
  path: "/batches",
  tags: ["batches"],
  summary: "List batches",
  ...needs("read"),
  request: {
    query: z.strictObject({
      status: BatchStatusName.optional(),
      name: textOf({ most: 200 })
        .optional()
        .openapi({ description: "Part of the name, in any case" }),
      ...pageQuery(["createdAt", "name"]),
    }),
  },
  responses: {
    200: json(
      z.object({ batches: z.array(BatchListItem), pagination: Pagination }).openapi("BatchPage"),
      "One page of batches",
    ),
  },
});

const get = route({
  operationId: "getBatch",
  method: "get",
  path: "/batches/{id}",
  tags: ["batches"],
  summary: "Get a batch and one page of its tasks, in input order",
  description: "`Prefer: wait=N` holds the answer while the batch runs.",
  ...needs("read"),
  request: {
    params: BatchParams,
    headers: waitHeader("the batch has ended or is paused"),
    query: z.strictObject({
      ...PAGE_AND_LIMIT,
      status: TaskStatusName.optional().openapi({
        param: { description: "Of these tasks only" },
      }),
    }),
  },
  responses: { ...resource(BatchBody, "The batch", "Preference-Applied"), ...failures(404) },
});

const results = route({
  operationId: "getBatchResults",
  method: "get",
  path: "/batches/{id}/results",
  tags: ["batches"],
  summary: "Download the results of a batch, in input order",
  description:
    "Also while the batch is running. The CSV has the columns of the input and then `status, result, error, " +
    "prompt_tokens, completion_tokens, cost_usd, attempts, execution_id, finish_reason, model, cached, " +
    "tool_calls, refusal`; with `config.output` a column for each property of the answer stands before those, as `a.b` where it " +
    "is nested and `answer_…` where its name is taken. JSON has the object as `parsed`. An XLSX has what the CSV has, where cells keep the types that they have in a workbook, Parquet or " +
    "JSON (rows that a sheet has no room for are in further ones, and a text of more than 32,767 characters is cut " +
    "and says so). `format=input` gives only the rows of the input, to be sent again, for instance " +
    "with `status=failed` and with the same `config`: a CSV of a CSV, XLSX of a workbook or Parquet, JSONL of other inputs. Their ids and idempotency keys, which " +
    "are taken, are in `original_id` and `original_idempotency_key`. With an `ETag`, the download breaks off if the " +
    "results change meanwhile.",
  ...needs("read"),
  request: {
    params: BatchParams,
    query: z.strictObject({
      format: z.enum([...RESULT_FORMATS, "input"]).default("csv"),
      status: TaskStatusName.optional(),
      contains: Contains,
      safe: flag("Neutralise cells that a spreadsheet would run as formulas"),
      bom: flag("Begin a CSV with a byte order mark, so that Excel recognises UTF-8"),
    }),
  },
  responses: {
    ...downloads("The results, streamed", {
      "text/csv": { schema: z.string() },
      "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {
        schema: z.string().openapi({ format: "binary" }),
      },
      "application/jsonl": { schema: z.string() },
      "application/json": { schema: z.array(FreeObject) },
    }),
    ...failures(404, 416),
  },
});

export const batchRoutes = createRouter()
  .openapi(create, async (c) => {
    const input = c.req.valid("json");
    await requireBudget(c.var.ctx, c.var.caller.key);
    const batch = await createBatch(c.var.ctx, c.var.caller, {
      ...input,
      idempotencyKey: idempotencyKeyOf(c, input.idempotencyKey),
    });
    const { id, taskCount, reused, createdAt, isReplay } = batch;
    const data = {
      id,
      status: BatchStatusName.parse(batch.status),
      taskCount,
      reused,
      createdAt: toIso(createdAt),
    };
    if (!isReplay) return c.json(success(c, data, "Batch created successfully"), 201);
    c.header("Idempotency-Replayed", "true");
    return c.json(success(c, data, "Batch created successfully"), 200);
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { batches, total } = await service.listBatches(c.var.ctx, query, toPage(query));
    return c.json(
      success(c, {
        batches: batches.map(toListItem),
        pagination: pagination(query, total, batches, nameOrTime(query.sort)),
      }),
      200,
    );
  })
  .openapi(get, async (c) => {
    const query = { ...c.req.valid("query"), sort: "position", order: "asc" as const };
    const { id } = c.req.valid("param");
    const waitMs = readWait(c);
    const wait = (signal: AbortSignal) => service.waitForBatch(c.var.ctx, id, waitMs, signal);
    if (waitMs > 0 && (await holdWait(c, wait))) waitApplied(c);
    const batch = await service.getBatch(c.var.ctx, id);
    const { limit, offset, after } = toPage(query);
    const tasks = await service.listBatchTasks(c.var.ctx, batch, {
      limit,
      offset,
      after: after ? Number(after[0]) : -1,
      status: query.status,
    });
    return answerResource(c, {
      ...toListItem(batch),
      ...toOutlook(batch, c.var.ctx.live.waitingOf(batch.seq), c.var.ctx.clock.now()),
      tasks: tasks.map(toTaskInBatch),
      pagination: pagination(query, tasksOf(batch, query.status), tasks, ({ task }) => [
        task.position ?? 0,
        task.seq,
      ]),
    });
  })
  .openapi(results, async (c) => {
    const options = c.req.valid("query");
    const batch = await service.getBatch(c.var.ctx, c.req.valid("param").id);
    requireRoomFor(batch, options);
    const format = formatOfResults(batch, options.format);
    const { contains } = options;
    const isWanted = contains === undefined ? undefined : rowFilter(batch, contains);
    const part = options.format === "input" ? "-input" : "";
    return sendDownload(c, {
      name: `${batch.id.replaceAll(":", "_")}${part}.${format}`,
      type: CONTENT_TYPES[format],
      tag: resultsTag(batch, options),
      content: {
        read: () =>
          toBytes(
            streamResults(c.var.ctx, batch, { ...options, ...(isWanted ? { isWanted } : {}) }),
          ),
        requireSame: () => requireSameResults(c.var.ctx, batch),
        isPacked: format === "xlsx",
      },
    });
  });

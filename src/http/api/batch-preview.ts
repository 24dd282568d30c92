import { z } from "@hono/zod-openapi";

import { INPUT_FORMATS } from "../../domain/input-found.ts";
import { BatchConfig } from "../../domain/task-input.ts";
import { FilePath } from "../../domain/text.ts";
import { type Preview, previewInput } from "../../services/preview.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import {
  createRouter,
  FreeObject,
  json,
  needs,
  orElse,
  orNull,
  requiredBody,
  success,
} from "../router.ts";
import { WARNING } from "./batch-body.ts";
import { BasicEstimate } from "./batch-estimate.ts";

const MOST_TEXT_CHARACTERS = 20_000;

const Row = z
  .object({
    row: z.number().int().openapi({ description: "From 1" }),
    cells: z.array(z.string()).openapi({ description: "One for each of `columns`" }),
    messages: z
      .array(z.object({ role: z.string(), content: z.string() }).openapi("PreviewMessage"))
      .openapi({
        description: "The request that would be sent; absent if `issues` say why there is none",
      }),
    model: z.string().nullable(),
    promptTokens: z.number().int().nullable(),
    issues: z.array(z.object({ field: z.string(), message: z.string() }).openapi("PreviewIssue")),
  })
  .openapi("PreviewRow");

export const BatchPreview = z
  .object({
    format: z.enum(INPUT_FORMATS),
    delimiter: z.string().nullable(),
    encoding: z.string().nullable(),
    sheet: z.string().nullable(),
    warning: z.string().nullable().openapi({ description: WARNING }),
    columns: z.array(z.string()).openapi({ description: "In the form that templates use" }),
    rowCount: z.number().int(),
    isWhole: z.boolean().openapi({
      description: "False if counting all rows would have taken more than a second or two",
    }),
    rows: z.array(Row),
    estimate: orNull(BasicEstimate),
  })
  .openapi("BatchPreview");

const preview = route({
  operationId: "previewBatch",
  method: "post",
  path: "/batches/preview",
  tags: ["batches"],
  summary: "Preview a table: columns, composed prompts, tokens, an estimate",
  description:
    "Reads the table as `POST /batches` would, and creates nothing. Prompts are those of `limit` rows from `from`; the estimate is made " +
    "from the first hundred rows, or fewer if their requests are long. Rows that cannot be sent have `issues`, which do not fail the request.",
  ...needs("write"),
  request: {
    body: requiredBody(
      z
        .strictObject({
          inputFile: FilePath.openapi({
            description: "The id of an upload, or a file in the files folder",
          }),
          config: orElse(BatchConfig, {}),
          from: orElse(z.number().int().min(1).max(1_000_000), 1),
          limit: orElse(z.number().int().min(1).max(50), 20),
        })
        .openapi("BatchPreviewRequest", { example: { inputFile: "tasks.csv" } }),
    ),
  },
  responses: { 200: json(BatchPreview, "The beginning of the table"), ...failures(404, 413) },
});

export const batchPreviewRoutes = createRouter().openapi(preview, async (c) => {
  const asked = c.req.valid("json");
  return c.json(success(c, toBody(await previewInput(c.var.ctx, c.var.caller, asked))), 200);
});

function toBody({ found, columns, rows, ...rest }: Preview): z.infer<typeof BatchPreview> {
  const names = found?.columns ?? columns ?? [];
  return {
    format: found?.format ?? "csv",
    delimiter: found?.delimiter ?? null,
    encoding: found?.encoding ?? null,
    sheet: found?.sheet ?? null,
    warning: found?.warning ?? null,
    columns: names,
    rowCount: rest.rowCount,
    isWhole: rest.isWhole,
    rows: rows.map((row) => ({
      row: row.row,
      cells: cellsOf(row.cells, names),
      messages: messagesOf(row.request),
      model: typeof row.request?.["model"] === "string" ? row.request["model"] : null,
      promptTokens: row.promptTokens,
      issues: row.issues,
    })),
    estimate: rest.estimate,
  };
}

function cellsOf(cells: unknown, names: string[]): string[] {
  if (Array.isArray(cells)) return cells.map(textOf);
  const members = FreeObject.safeParse(cells);
  return members.success ? names.map((name) => textOf(members.data[name])) : [];
}

function messagesOf(request: Preview["rows"][number]["request"]) {
  const messages = request?.["messages"];
  if (!Array.isArray(messages)) return [];
  return messages.flatMap((message) => {
    const read = FreeObject.safeParse(message);
    if (!read.success) return [];
    return [{ role: textOf(read.data["role"]), content: textOf(read.data["content"]) }];
  });
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.slice(0, MOST_TEXT_CHARACTERS);
}

import { z } from "@hono/zod-openapi";

import { csvLine } from "../../lib/csv-line.ts";
import { parseJson } from "../../lib/json.ts";
import { type AuditEntry, exportAudit, listAudit, trimAudit } from "../../services/audit.ts";
import { whileKeyValid } from "../connections.ts";
import { Moment, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";
import { toByteStream, toBytes, whileLogged } from "../stream.ts";

export const EntryBody = z
  .object({
    id: z.number().int(),
    time: Time,
    keyId: z.string(),
    action: z.string().openapi({ example: "tasks.execute" }),
    target: z
      .string()
      .nullable()
      .openapi({ description: "Id of the object that was changed or executed" }),
    requestId: z.string(),
    address: z.string().nullable(),
    options: z.record(z.string(), z.string()).nullable().openapi({
      description: "The query of the request, such as `execute`",
    }),
  })
  .openapi("AuditEntry");

const Text = z.string().min(1).max(200).optional();

const list = route({
  operationId: "listAuditEntries",
  method: "get",
  path: "/audit",
  tags: ["keys"],
  summary: "Read the audit log: who created, changed, revoked, deleted or executed what",
  description:
    "Entries are never changed, and can be deleted only by age (`DELETE /audit`), which adds an entry, too.",
  ...needs("admin"),
  request: {
    query: z.strictObject({
      keyId: Text,
      action: Text,
      target: Text,
      createdAfter: Moment.optional(),
      createdBefore: Moment.optional(),
      ...pageQuery(["time"]),
    }),
  },
  responses: {
    200: json(
      z.object({ entries: z.array(EntryBody), pagination: Pagination }).openapi("AuditPage"),
      "One page of entries, the latest first",
    ),
  },
});

const exported = route({
  operationId: "exportAuditLog",
  method: "get",
  path: "/audit/export",
  tags: ["keys"],
  summary: "Export the audit log, the oldest entry first, as CSV or JSON lines",
  ...needs("admin"),
  request: {
    query: z.strictObject({
      createdAfter: Moment.optional(),
      createdBefore: Moment.optional(),
      format: z.enum(["csv", "jsonl"]).default("csv"),
    }),
  },
  responses: {
    200: {
      description: "The entries, as they are listed; options are JSON in CSV",
      content: {
        "text/csv": { schema: z.string() },
        "application/jsonl": { schema: z.string() },
      },
    },
  },
});

const CONTENT_TYPES = {
  csv: "text/csv; charset=utf-8",
  jsonl: "application/jsonl; charset=utf-8",
};

const trim = route({
  operationId: "trimAuditLog",
  method: "delete",
  path: "/audit",
  tags: ["keys"],
  summary: "Delete the entries of the audit log that are older than a time",
  description:
    "The oldest first, for five seconds at most: if `more` is true, send the request again. Export them first. " +
    "The request adds its own entry.",
  ...needs("admin"),
  request: { query: z.strictObject({ createdBefore: Moment }) },
  responses: {
    200: json(
      z.object({ deleted: z.number().int(), more: z.boolean() }).openapi("TrimmedAuditLog"),
      "How many were deleted",
    ),
  },
});

export const auditRoutes = createRouter()
  .openapi(trim, async (c) => {
    const { removed, isMore } = await trimAudit(c.var.ctx, c.req.valid("query").createdBefore);
    return c.json(success(c, { deleted: removed, more: isMore }), 200);
  })
  .openapi(exported, (c) => {
    const { format, ...range } = c.req.valid("query");
    const write = format === "csv" ? csvLines : jsonLines;
    const headers = {
      "Content-Type": CONTENT_TYPES[format],
      "Content-Disposition": `attachment; filename="audit.${format}"`,
    };
    const lines = write(exportAudit(c.var.ctx, range));
    const pieces = whileLogged(c, whileKeyValid(c, toBytes(lines)));
    // Hono treats any type with "json" in its name as one JSON value; this is one per line.
    return new Response(toByteStream(pieces), { headers }) as never;
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { entries, total } = await listAudit(c.var.ctx, query, toPage(query));
    return c.json(
      success(c, {
        entries: entries.map(toBody),
        pagination: pagination(query, total, entries, ({ at, id }) => [at, id]),
      }),
      200,
    );
  });

const COLUMNS = [
  "id",
  "time",
  "keyId",
  "action",
  "target",
  "requestId",
  "address",
  "options",
] as const;

/** Clients choose ids, so cells are neutralised for spreadsheets. */
async function* csvLines(pages: AsyncIterable<AuditEntry[]>): AsyncGenerator<string> {
  yield csvLine(COLUMNS, true);
  for await (const page of pages) yield page.map(csvRow).join("");
}

function csvRow(entry: AuditEntry): string {
  const body = toBody(entry);
  const cells = COLUMNS.map((column) => (column === "options" ? entry.options : body[column]));
  return csvLine(cells, true);
}

async function* jsonLines(pages: AsyncIterable<AuditEntry[]>): AsyncGenerator<string> {
  for await (const page of pages)
    yield page.map((entry) => `${JSON.stringify(toBody(entry))}\n`).join("");
}

function toBody({ at, options, ...entry }: AuditEntry): z.infer<typeof EntryBody> {
  const query = options === null ? null : parseJson(options);
  return {
    ...entry,
    time: toIso(at),
    options: z.record(z.string(), z.string()).nullable().parse(query),
  };
}

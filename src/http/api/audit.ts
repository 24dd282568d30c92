import { z } from "@hono/zod-openapi";

import { parseJson } from "../../lib/json.ts";
import { type AuditEntry, exportAudit, listAudit } from "../../services/audit.ts";
import { Moment, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";
import { toByteStream, toBytes } from "../stream.ts";

const EntryBody = z
  .object({
    id: z.number().int(),
    time: Time,
    keyId: z.string(),
    action: z.string().openapi({ example: "tasks.execute" }),
    target: z.string().nullable().openapi({ description: "Id of what it was done to" }),
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
  description: "Entries are never changed or deleted.",
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
  summary: "Export the audit log, the oldest entry first, one JSON object a line",
  ...needs("admin"),
  request: {
    query: z.strictObject({ createdAfter: Moment.optional(), createdBefore: Moment.optional() }),
  },
  responses: {
    200: {
      description: "The entries, as they are listed",
      content: { "application/jsonl": { schema: z.string() } },
    },
  },
});

export const auditRoutes = createRouter()
  .openapi(exported, (c) => {
    const lines = exportLines(exportAudit(c.var.ctx, c.req.valid("query")));
    const headers = {
      "Content-Type": "application/jsonl; charset=utf-8",
      "Content-Disposition": 'attachment; filename="audit.jsonl"',
    };
    // Hono takes any type with "json" in its name for one JSON value; these are lines of them.
    return new Response(toByteStream(toBytes(lines)), { headers }) as never;
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

async function* exportLines(pages: AsyncIterable<AuditEntry[]>): AsyncGenerator<string> {
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

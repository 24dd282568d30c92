import { z } from "@hono/zod-openapi";

import { parseJson } from "../../lib/json.ts";
import { type AuditEntry, listAudit } from "../../services/audit.ts";
import { Moment, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";

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

export const auditRoutes = createRouter().openapi(list, async (c) => {
  const query = c.req.valid("query");
  const { entries, total } = await listAudit(c.var.ctx, query, toPage(query));
  const last = entries.at(-1);
  return c.json(
    success(c, {
      entries: entries.map(toBody),
      pagination: pagination(query, total, entries.length, last && [last.at, last.id]),
    }),
    200,
  );
});

function toBody({ at, options, ...entry }: AuditEntry): z.infer<typeof EntryBody> {
  const query = options === null ? null : parseJson(options);
  return {
    ...entry,
    time: toIso(at),
    options: z.record(z.string(), z.string()).nullable().parse(query),
  };
}

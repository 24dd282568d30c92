import { z } from "@hono/zod-openapi";

import { parseJson } from "../../lib/json.ts";
import { listAlertHistory, listOpenAlerts } from "../../services/alerts.ts";
import { PAGE_AND_LIMIT, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, success, Time, toIso } from "../router.ts";

const OpenAlert = z
  .object({
    code: z.string().openapi({ example: "provider.down" }),
    subject: z
      .string()
      .nullable()
      .openapi({ description: "What it is about, such as the id of a webhook; null: the whole" }),
    message: z.string(),
    raisedAt: Time,
  })
  .openapi("OpenAlert");

export const AlertEntry = z
  .object({
    id: z.number().int().openapi({ description: "The event's number in the log" }),
    code: z.string(),
    subject: z.string().nullable(),
    status: z.enum(["raised", "cleared"]).openapi("AlertStatus"),
    message: z.string(),
    at: Time,
  })
  .openapi("AlertEntry");

const list = route({
  operationId: "listAlerts",
  method: "get",
  path: "/alerts",
  tags: ["status"],
  summary: "List open alerts and past ones",
  description:
    "`open` has all open alerts, the oldest first. `history` has the alerts that were raised and cleared, the latest first, page " +
    "by page, as far back as the event log goes (RETENTION_DAYS). To be notified, use a webhook for `system.alert`.",
  ...needs("read"),
  request: { query: z.strictObject(PAGE_AND_LIMIT) },
  responses: {
    200: json(
      z
        .object({
          open: z.array(OpenAlert),
          history: z.array(AlertEntry),
          pagination: Pagination,
        })
        .openapi("AlertPage"),
      "The alerts",
    ),
  },
});

export const alertRoutes = createRouter().openapi(list, async (c) => {
  const query = { ...c.req.valid("query"), sort: "id", order: "desc" as const };
  const { entries, total } = await listAlertHistory(c.var.ctx, toPage(query));
  const open = await listOpenAlerts(c.var.ctx);
  return c.json(
    success(c, {
      open: open.map(({ code, subject, message, raisedAt }) => ({
        code,
        subject: subject === "" ? null : subject,
        message,
        raisedAt: toIso(raisedAt),
      })),
      history: entries.map(toEntry),
      pagination: pagination(query, total, entries, ({ id }) => [id, id]),
    }),
    200,
  );
});

/** The data of an alert's event (`store/alerts.ts`). */
const AlertData = AlertEntry.pick({ code: true, status: true, message: true }).extend({
  subject: z.string().optional(),
});

type Entry = Awaited<ReturnType<typeof listAlertHistory>>["entries"][number];

function toEntry({ id, at, data }: Entry): z.infer<typeof AlertEntry> {
  const { subject = null, ...reported } = AlertData.parse(parseJson(data ?? "{}"));
  return { id, ...reported, subject, at: toIso(at) };
}

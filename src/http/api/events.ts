import { z } from "@hono/zod-openapi";
import type { Context } from "hono";

import { DELTA, EVENT_TYPES, typesOf, unknownType } from "../../domain/event.ts";
import { Id } from "../../domain/task-input.ts";
import { AppError, invalid } from "../../errors.ts";
import type { StreamType } from "../../services/event-stream.ts";
import { type Start, watchEvents, watchSubject } from "../../services/events.ts";
import { createStreamToken } from "../../services/stream-tokens.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import {
  type AppEnv,
  createRouter,
  json,
  needs,
  optionalBody,
  success,
  Time,
  toIso,
} from "../router.ts";
import { AccessToken, hold, STREAM_HEADERS } from "../sse.ts";
import { withinGrant } from "../stream-access.ts";
import { BatchParams } from "./batches.ts";
import { TaskParams } from "./tasks.ts";

const STREAM_TYPES: readonly StreamType[] = [...EVENT_TYPES, DELTA];

/** The name or pattern of event types. */
const TypePattern = z
  .string()
  .max(100)
  .refine((pattern) => typesOf(pattern, STREAM_TYPES).length > 0, {
    error: ({ input }) => unknownType(input, STREAM_TYPES),
  });

const TypesQuery = z
  .string()
  .max(1000)
  .transform((text) => text.split(",").map((pattern) => pattern.trim()))
  .pipe(z.array(TypePattern))
  .openapi({
    type: "string",
    description: `Comma-separated types or patterns (\`task.completed,batch.*\`) of ${STREAM_TYPES.join(", ")}`,
    example: "task.completed,batch.*",
  });

const EventId = z
  .string()
  .regex(/^(\d{1,15}|now)$/, "must be the id of an event, or now")
  .transform((text) => (text === "now" ? text : Number(text)))
  .openapi({ type: "string", example: "42" });

const COMMON_QUERY = {
  types: TypesQuery.optional(),
  since: EventId.optional().openapi({
    description: "Begin after the event with this id (`0`: with the oldest), or `now`",
  }),
  access_token: AccessToken,
};

const headers = z.object({
  "last-event-id": z
    .union([z.literal("").transform(() => undefined), EventId])
    .optional()
    .openapi({
      type: "string",
      description:
        "Sent by a reader that reconnects; takes precedence over `since`, unless it is empty",
    }),
});

const ABOUT_STREAMS =
  "Each event has the log's number as `id`, its type as `event`, and as `data` the JSON " +
  "`{type, timestamp, data}`, which is small: ids, a status, counts. A reader that reconnects with " +
  "`Last-Event-ID` (browsers do) misses nothing and gets nothing twice, after a restart of the server, " +
  "too. Where that cannot be, because events were removed or the database was restored, `gap` comes first, " +
  "with `data` `{reason, after, oldest, newest}` (`expired` or `restored`), and then everything that is there. `retry` comes first, and a comment at least every ten seconds. ";

const streamed = {
  200: {
    description: "Server-sent events",
    content: { "text/event-stream": { schema: z.string() } },
  },
} as const;
const NOTHING_LEFT = {
  204: { description: "It has ended and everything was sent: do not reconnect" },
};

const all = route({
  operationId: "streamEvents",
  method: "get",
  path: "/events",
  tags: ["events"],
  summary: "Follow all events",
  description: `${ABOUT_STREAMS}Without \`since\` it begins with the next event.`,
  ...needs("read"),
  request: {
    headers,
    query: z.strictObject({ ...COMMON_QUERY, taskId: Id.optional(), batchId: Id.optional() }),
  },
  responses: { ...streamed },
});

const ofTask = route({
  operationId: "streamTaskEvents",
  method: "get",
  path: "/tasks/{id}/events",
  tags: ["events"],
  summary: "Follow a task until it has ended",
  description:
    `${ABOUT_STREAMS}Begins with the task's creation. A task that asks for a streamed answer ` +
    `(\`parameters.stream\`) also gives its pieces as \`${DELTA}\`, whose \`data\` is \`{taskId, offset, text}\`: ` +
    "`offset` counts the characters before the piece and is 0 where an answer begins, again after a failed " +
    "attempt. Pieces have no id, are not stored, and come from the process that makes the call; a reused " +
    "answer is one piece.",
  ...needs("read"),
  request: { params: TaskParams, headers, query: z.strictObject(COMMON_QUERY) },
  responses: { ...streamed, ...NOTHING_LEFT, ...failures(404) },
});

const ofBatch = route({
  operationId: "streamBatchEvents",
  method: "get",
  path: "/batches/{id}/events",
  tags: ["events"],
  summary: "Follow a batch and its tasks until it has ended",
  description: `${ABOUT_STREAMS}Begins with the batch's creation; \`types=batch.*\` leaves its tasks out, \`since=now\` its past.`,
  ...needs("read"),
  request: { params: BatchParams, headers, query: z.strictObject(COMMON_QUERY) },
  responses: { ...streamed, ...NOTHING_LEFT, ...failures(404) },
});

const token = route({
  operationId: "createEventToken",
  method: "post",
  path: "/events/token",
  tags: ["events"],
  summary: "Create a token that opens event streams for a minute",
  description:
    "For browsers, whose EventSource sends no headers: `new EventSource('/api/v1/events?access_token=…')`. " +
    "The token reads event streams, within `types`, `taskId` and `batchId`, and nothing else. A stream " +
    "that is open stays open as long as the secret that created the token is valid; API keys are never accepted in a URL.",
  ...needs("read"),
  request: {
    body: optionalBody(
      z
        .strictObject({
          types: z
            .array(TypePattern)
            .min(1)
            .max(50)
            .openapi({ description: `Types or patterns of ${STREAM_TYPES.join(", ")}` })
            .optional(),
          taskId: Id.optional(),
          batchId: Id.optional(),
        })
        .openapi("EventTokenRequest"),
    ),
  },
  responses: {
    201: json(z.object({ token: z.string(), expiresAt: Time }).openapi("EventToken"), "The token"),
  },
});

export const eventRoutes = createRouter()
  .openapi(token, async (c) => {
    const { types, taskId, batchId } = c.req.valid("json");
    const made = await createStreamToken(c.var.ctx, c.var.caller, {
      ...(types ? { types } : {}),
      ...(taskId === undefined ? {} : { taskId }),
      ...(batchId === undefined ? {} : { batchId }),
    });
    return c.json(success(c, { token: made.token, expiresAt: toIso(made.expiresAt) }), 201);
  })
  .openapi(all, async (c) => {
    const { types, since, taskId, batchId } = c.req.valid("query");
    const topic = withinGrant(c.var.grant, { taskId, batchId });
    const filter = { task: topic.taskId, batch: topic.batchId, types: typeSet(c, types) };
    const start = c.req.valid("header")["last-event-id"] ?? since;
    const body = await hold(c, (reader) => watchEvents(c.var.hub, filter, start, reader));
    return c.body(body, 200, STREAM_HEADERS);
  })
  .openapi(ofTask, (c) =>
    answerSubject(c, "task", c.req.valid("param").id, {
      types: c.req.valid("query").types,
      start: c.req.valid("header")["last-event-id"] ?? c.req.valid("query").since,
    }),
  )
  .openapi(ofBatch, (c) =>
    answerSubject(c, "batch", c.req.valid("param").id, {
      types: c.req.valid("query").types,
      start: c.req.valid("header")["last-event-id"] ?? c.req.valid("query").since,
    }),
  );

async function answerSubject(
  c: Context<AppEnv>,
  kind: "task" | "batch",
  id: string,
  { types, start }: { types: string[] | undefined; start: Start },
) {
  const asked = kind === "task" ? { taskId: id } : { batchId: id };
  if (Object.keys(withinGrant(c.var.grant, asked)).length > 1)
    throw new AppError("FORBIDDEN", "This access_token is for less than this stream");
  const subject = { kind, id, types: typeSet(c, types) };
  const body = await hold(c, (reader) =>
    watchSubject(c.var.ctx, c.var.hub, subject, start, reader),
  );
  return body ? c.body(body, 200, STREAM_HEADERS) : c.body(null, 204);
}

/** The requested types, narrowed to those that the token, if there is one, opens. */
function typeSet(c: Context<AppEnv>, asked: string[] | undefined): Set<StreamType> | undefined {
  const expand = (patterns: string[] | undefined) =>
    patterns && new Set(patterns.flatMap((pattern) => typesOf(pattern, STREAM_TYPES)));
  const wanted = expand(asked);
  const opened = expand(c.var.grant?.types);
  if (!wanted || !opened) return wanted ?? opened;
  const both = wanted.intersection(opened);
  if (both.size === 0)
    throw invalid([
      {
        path: "types",
        message: `must be of those that this access_token is for: ${[...opened].join(", ")}`,
      },
    ]);
  return both;
}

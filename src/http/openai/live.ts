import { Hono, type Context as HonoContext } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

import type { Endpoint } from "../../domain/request.ts";
import { newId } from "../../lib/ids.ts";
import { isJsonObject, type Json } from "../../lib/json.ts";
import type { LiveAnswer, LiveCalls } from "../../services/live.ts";
import { refusalOf } from "../../services/models.ts";
import { badParam, refusal } from "../../services/openai-refusal.ts";
import { whileKeyValid } from "../connections.ts";
import { type AppEnv, needs } from "../router.ts";
import { toByteStream } from "../stream.ts";
import { passedBody } from "./body.ts";
import { missing } from "./query.ts";

const ENDPOINTS: readonly Endpoint[] = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/moderations",
  "/v1/images/generations",
];

/** Calls that go to a provider at once, and whose answers come back as they are. */
export function createLiveRoutes(call: LiveCalls, further: readonly string[]): Hono<AppEnv> {
  const routes = new Hono<AppEnv>();
  for (const endpoint of new Set([...ENDPOINTS, ...(further as Endpoint[])]))
    routes.post(endpoint.slice("/v1".length), needs("write").middleware, passedBody, async (c) => {
      c.env?.stayOpen?.();
      const [ctx, caller] = [c.get("ctx"), c.get("caller")];
      const body = await c.req.json<Json>();
      if (!isJsonObject(body))
        throw badParam("", "Invalid type for request body: expected an object.", "invalid_type");
      const model = await modelOf(c, body["model"]);
      const text = await c.req.text();
      const isStored = ctx.config.liveStore === "always" || body["store"] === true;
      const taskId = isStored ? newId(ctx, "task") : null;
      const usesCache = c.req.header("x-gtr-cache") === "true";
      const answer = await call({
        endpoint,
        model,
        body,
        text,
        caller,
        trace: ctx.tracing.current(),
        taskId,
        usesCache,
        signal: c.req.raw.signal,
      });
      if (taskId !== null && !answer.isCached) c.header("X-GTR-Task", taskId);
      if (usesCache) c.header("X-GTR-Cache", answer.isCached ? "hit" : "miss");
      return respond(c, answer);
    });
  return routes;
}

async function modelOf(c: HonoContext<AppEnv>, model: Json | undefined): Promise<string> {
  if (model === undefined || model === null) throw missing("model");
  if (typeof model !== "string" || model === "")
    throw badParam("model", "Invalid type for 'model': expected a string.", "invalid_type");
  const ctx = c.get("ctx");
  if (ctx.models.isAllowed(model)) return model;
  const why = await refusalOf(ctx, model);
  throw noSuchModel(model, why ?? undefined);
}

export function noSuchModel(model: string, why?: string) {
  const known = `The model \`${model.slice(0, 200)}\` does not exist or you do not have access to it.`;
  return refusal("NOT_FOUND", why === undefined ? known : `${known} ${why}`, {
    param: "model",
    code: "model_not_found",
  });
}

/** After a longer wait than this nobody is to try again by itself. */
const LONGEST_RETRY_MS = 60_000;

function respond(c: HonoContext<AppEnv>, answer: LiveAnswer): Response {
  const { status, body, retryAfterMs } = answer;
  c.header("Content-Type", answer.contentType);
  c.header("X-GTR-Provider", plain(answer.provider));
  if (answer.adjusted.length > 0) c.header("X-GTR-Adjusted", plain(answer.adjusted.join(", ")));
  if (answer.requestId !== null) c.header("X-GTR-Provider-Request-ID", plain(answer.requestId));
  if (answer.costUsd !== null) c.header("X-GTR-Cost-Usd", String(answer.costUsd));
  if (retryAfterMs !== null) {
    c.header("retry-after-ms", String(Math.ceil(retryAfterMs)));
    c.header("Retry-After", String(Math.ceil(retryAfterMs / 1000)));
  }
  if (answer.isHopeless || (retryAfterMs ?? 0) > LONGEST_RETRY_MS)
    c.header("x-should-retry", "false");
  if (typeof body === "string") return c.newResponse(body, status as ContentfulStatusCode);
  return c.newResponse(toByteStream(whileKeyValid(c, body)), status as ContentfulStatusCode);
}

/** A text as a header can have it. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 500);
}

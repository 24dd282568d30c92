import { Hono, type Context as HonoContext } from "hono";

import type { Endpoint } from "../../domain/request.ts";
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
      const { ctx, caller } = c.var;
      const body = await c.req.json<Json>();
      if (!isJsonObject(body))
        throw badParam("", "Invalid type for request body: expected an object.", "invalid_type");
      const model = await modelOf(c, body["model"]);
      const text = await c.req.text();
      const answer = await call({
        endpoint,
        model,
        body,
        text,
        caller,
        trace: ctx.tracing.current(),
        signal: c.req.raw.signal,
      });
      return respond(c, answer);
    });
  return routes;
}

async function modelOf(c: HonoContext<AppEnv>, model: Json | undefined): Promise<string> {
  if (model === undefined || model === null) throw missing("model");
  if (typeof model !== "string" || model === "")
    throw badParam("model", "Invalid type for 'model': expected a string.", "invalid_type");
  const { ctx } = c.var;
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
  const headers = new Headers({ "Content-Type": answer.contentType });
  headers.set("X-GTR-Provider", plain(answer.provider));
  if (answer.adjusted.length > 0) headers.set("X-GTR-Adjusted", plain(answer.adjusted.join(", ")));
  if (answer.requestId !== null) headers.set("X-GTR-Provider-Request-ID", plain(answer.requestId));
  if (answer.costUsd !== null) headers.set("X-GTR-Cost-Usd", String(answer.costUsd));
  if (retryAfterMs !== null) {
    headers.set("retry-after-ms", String(Math.ceil(retryAfterMs)));
    headers.set("Retry-After", String(Math.ceil(retryAfterMs / 1000)));
  }
  if (answer.isHopeless || (retryAfterMs ?? 0) > LONGEST_RETRY_MS)
    headers.set("x-should-retry", "false");
  if (typeof body === "string") return new Response(body, { status, headers });
  return new Response(toByteStream(whileKeyValid(c, body)), { status, headers });
}

/** A text as a header can have it. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 500);
}

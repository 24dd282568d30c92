import { Hono, type Context as HonoContext } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

import type { Context } from "../../context.ts";
import {
  type Endpoint,
  isInBackground,
  NOT_IN_BACKGROUND,
  usualModel,
  withModel,
} from "../../domain/request.ts";
import { ModelName } from "../../domain/text.ts";
import { newId } from "../../lib/ids.ts";
import { isJsonObject, type Json, type JsonObject } from "../../lib/json.ts";
import { type Caller, keyEnded } from "../../services/caller.ts";
import type { LiveAnswer, LiveCalls } from "../../services/live.ts";
import { refusalOf } from "../../services/models.ts";
import { badParam, refusal } from "../../services/openai-refusal.ts";
import { roomFor } from "../../services/stored-bytes.ts";
import { type Held, holdCall, whileHeld } from "../connections.ts";
import { type AppEnv, needs } from "../router.ts";
import { toByteStream } from "../stream.ts";
import { passedBody } from "./body.ts";
import { setRetryHeaders } from "./errors.ts";
import { badBody, missing, wrongType } from "./query.ts";

const ENDPOINTS: readonly Endpoint[] = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/moderations",
  "/v1/images/generations",
];

/** Live calls, whose answers are passed back unchanged. */
export function createLiveRoutes(call: LiveCalls, further: readonly string[]): Hono<AppEnv> {
  const routes = new Hono<AppEnv>();
  for (const endpoint of new Set([...ENDPOINTS, ...(further as Endpoint[])]))
    routes.post(endpoint.slice("/v1".length), needs("write").middleware, passedBody, async (c) => {
      c.env?.stayOpen?.();
      const [ctx, caller] = [c.get("ctx"), c.get("caller")];
      const given = c.get("body");
      if (!isJsonObject(given.value)) throw badBody(given.value);
      const { body, text, adjusted } = withUsualModel(endpoint, given.value, given.text);
      const model = await modelOf(c, body["model"]);
      if (isInBackground(endpoint, body))
        throw badParam("background", NOT_IN_BACKGROUND, "unsupported_value");
      const isStored = ctx.config.liveStore === "always" || body["store"] === true;
      const taskId = isStored ? newId(ctx, "task") : null;
      if (isStored) await requireRoom(ctx, caller, text);
      const usesCache = c.req.header("x-gtr-cache") === "true";
      const trace = ctx.tracing.current();
      const request = { endpoint, model, body, text, caller, trace, taskId, usesCache };
      const held = holdCall(c);
      const answer = await whileHolding(held, async (ended) =>
        call({ ...request, signal: AbortSignal.any([c.req.raw.signal, ended]) }),
      );
      if (taskId !== null && !answer.isCached) c.header("X-GTR-Task", taskId);
      if (usesCache) c.header("X-GTR-Cache", answer.isCached ? "hit" : "miss");
      return respond(c, { ...answer, adjusted: [...adjusted, ...answer.adjusted] }, held);
    });
  return routes;
}

/** The request with a model, because routes, prices and the stored task depend on it. */
function withUsualModel(
  endpoint: Endpoint,
  body: JsonObject,
  text: string,
): { body: JsonObject; text: string; adjusted: string[] } {
  const model = usualModel(endpoint);
  if (model === undefined || (body["model"] ?? null) !== null) return { body, text, adjusted: [] };
  return {
    body: { ...body, model },
    text: withModel(text, model),
    adjusted: [`model sent as ${model}`],
  };
}

/** Throws if there is no room to store a call that must be stored: its answer would name a task that does not exist. */
async function requireRoom(ctx: Context, { key }: Caller, text: string): Promise<void> {
  const { bytes, refusal: full } = await roomFor(ctx, key);
  if (full && bytes < Buffer.byteLength(text)) throw full;
}

/** Makes a call, and throws if the key ends before the answer begins. For a stream, the connection stays held. */
async function whileHolding(
  { signal, release }: Held,
  make: (ended: AbortSignal) => Promise<LiveAnswer>,
): Promise<LiveAnswer> {
  try {
    const answer = await make(signal);
    if (typeof answer.body === "string") release();
    return answer;
  } catch (error) {
    release();
    throw signal.aborted ? keyEnded() : error;
  }
}

async function modelOf(c: HonoContext<AppEnv>, model: Json | undefined): Promise<string> {
  if (model === undefined || model === null) throw missing("model");
  if (typeof model !== "string" || model === "") throw wrongType("model", "a string", model);
  if (!ModelName.safeParse(model).success)
    throw badParam(
      "model",
      "Invalid 'model': expected a string of 1 to 200 characters, none of them U+0000.",
    );
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

function respond(c: HonoContext<AppEnv>, answer: LiveAnswer, held: Held): Response {
  const { status, body, retryAfterMs } = answer;
  c.header("Content-Type", answer.contentType);
  c.header("X-GTR-Provider", plain(answer.provider));
  if (answer.adjusted.length > 0) c.header("X-GTR-Adjusted", plain(answer.adjusted.join(", ")));
  if (answer.requestId !== null) c.header("X-GTR-Provider-Request-ID", plain(answer.requestId));
  if (answer.costUsd !== null) c.header("X-GTR-Cost-Usd", String(answer.costUsd));
  setRetryHeaders(c, { afterMs: retryAfterMs, isHopeless: answer.isHopeless });
  if (typeof body === "string") return c.newResponse(body, status as ContentfulStatusCode);
  return c.newResponse(toByteStream(whileHeld(held, body)), status as ContentfulStatusCode);
}

/** A text without characters that a header cannot have. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 500);
}

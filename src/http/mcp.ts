import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";

import type { Context as AppContext } from "../context.ts";
import { AppError, invalid } from "../errors.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { Refusal, type Rest, type RestOptions } from "../mcp/rest.ts";
import { defaultProvider } from "../services/models.ts";
import { readBody } from "./body.ts";
import type { AppEnv } from "./router.ts";

/**
 * `/mcp`: the API as tools of the Model Context Protocol. A message counts as one request of its key. The requests
 * that its tool sends to the API are checked, executed and audited like any others, but not counted again.
 */
export function addMcp(
  app: OpenAPIHono<AppEnv>,
  ctx: AppContext,
  admitted: MiddlewareHandler<AppEnv>,
): void {
  app.post("/mcp", requireOwnOrigin(ctx.config.corsOrigins), admitted, readBody(ctx), async (c) => {
    const body = c.get("body").value;
    if (Array.isArray(body))
      throw invalid([
        { path: "", message: "the body must be one JSON-RPC message, not a list of them" },
      ]);
    // Loaded on first use, because it is large and most servers never need it.
    const { handleMcp } = await import("../mcp/handle.ts");
    return handleMcp(c.req.raw, {
      body,
      rest: restWithin(app, c),
      clock: ctx.clock,
      provider: async () => defaultProvider(ctx.config),
    });
  });
}

/**
 * Refuses pages of other origins, as the protocol requires, so that a page cannot reach a server on this machine by
 * DNS rebinding. Programs send no `Origin`.
 */
function requireOwnOrigin(origins: string[]): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const origin = c.req.header("origin");
    if (origin !== undefined && !origins.includes(origin) && !origins.includes("*"))
      throw new AppError(
        "FORBIDDEN",
        `Pages of ${origin.slice(0, 200)} may not use this server; CORS_ORIGINS names those that may`,
      );
    await next();
  };
}

/** Headers with the key, the address and the trace of the client. */
const PASSED_ON = ["authorization", "x-forwarded-for", "traceparent"];

/** The API of this process, called on behalf of a request's caller. */
function restWithin(app: OpenAPIHono<AppEnv>, c: Context<AppEnv>): Rest {
  const given = PASSED_ON.flatMap((name) => {
    const value = c.req.header(name);
    return value === undefined ? [] : [[name, value] as const];
  });

  async function open(path: string, options: RestOptions = {}): Promise<Response> {
    const { method = "GET", query = {}, body, headers = {}, signal = c.req.raw.signal } = options;
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) search.set(name, String(value));
    const request = new Request(`http://localhost/api/v1${path}?${search}`, {
      method,
      headers: {
        ...Object.fromEntries(given),
        ...headers,
        "x-request-id": c.var.requestId,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal,
    });
    const response = await app.fetch(request, { ...c.env, isHead: false, isPart: true });
    if (response.ok) return response;
    signal.throwIfAborted();
    throw refusalIn(await response.text(), response.status);
  }

  return {
    open,
    async call<T>(path: string, options?: RestOptions) {
      const answer = parseJson(await (await open(path, options)).text());
      // The API's schemas determine the shape.
      return (isJsonObject(answer) ? answer["data"] : undefined) as T;
    },
  };
}

function refusalIn(text: string, status: number): Refusal {
  const answer = parseJson(text);
  const error = isJsonObject(answer) ? answer["error"] : undefined;
  if (!isJsonObject(error)) return new Refusal("INTERNAL_ERROR", `The API answered ${status}`);
  const { code, message, details } = error;
  return new Refusal(String(code), String(message), isJsonObject(details) ? details : {});
}

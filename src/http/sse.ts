import { z } from "@hono/zod-openapi";
import type { Context } from "hono";

import { type Held, holdStream } from "./connections.ts";
import type { AppEnv } from "./router.ts";

/** Headers of an answer that is a stream of server-sent events. */
export const STREAM_HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  // Proxies such as nginx must not buffer the stream.
  "X-Accel-Buffering": "no",
};

export const AccessToken = z
  .string()
  .max(100)
  .optional()
  .openapi({ description: "In place of the header: a token of `POST /events/token`" });

/** Counts the stream for its key while it is open. */
export async function hold<B>(c: Context<AppEnv>, open: (reader: Held) => Promise<B>): Promise<B> {
  const held = holdStream(c);
  try {
    const body = await open(held);
    if (body === undefined) held.release();
    return body;
  } catch (error) {
    held.release();
    throw error;
  }
}

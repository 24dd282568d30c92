import type { Endpoint } from "../domain/request.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Caller } from "./caller.ts";

/** A live call: a client waits for its answer. */
export type LiveRequest = {
  endpoint: Endpoint;
  model: string;
  /** The request as text, unchanged, and parsed. */
  text: string;
  body: JsonObject;
  caller: Pick<Caller, "key" | "hasBudget">;
  /** Trace context of the request. */
  trace: string | null;
  /** The id of the task that it is stored as; `null` if it is not stored. */
  taskId: string | null;
  /** A cached answer to the same request may be used, and this answer is cached if it is stored. */
  usesCache: boolean;
  /** Aborts when the client disconnects. */
  signal: AbortSignal;
};

/** A provider's answer: whole, or streamed. */
export type LiveAnswer = {
  status: number;
  contentType: string;
  /** The answer unchanged, except for what `adjusted` lists. */
  body: string | AsyncIterable<Uint8Array>;
  provider: string;
  /** Parts of the request that were changed, and parts of the answer that were left out. */
  adjusted: string[];
  requestId: string | null;
  /** `null` if it is unknown, or not known yet. */
  costUsd: number | null;
  /** How long to wait before a retry, if the provider said so. */
  retryAfterMs: number | null;
  /** A retry is of no use. */
  isHopeless: boolean;
  /** The answer is cached; no call was made. */
  isCached?: true;
};

/**
 * Makes a live call, once at each provider of the model until one answers. Throws `AppError` in OpenAI's words if no
 * call is made.
 */
export type LiveCalls = (request: LiveRequest) => Promise<LiveAnswer>;

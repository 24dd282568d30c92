import type { Endpoint } from "../domain/request.ts";
import type { JsonObject } from "../lib/json.ts";
import type { Caller } from "./caller.ts";

/** A call to a provider that somebody waits for. */
export type LiveRequest = {
  endpoint: Endpoint;
  model: string;
  /** The request as it came, and what it says. */
  text: string;
  body: JsonObject;
  caller: Pick<Caller, "key" | "hasBudget">;
  /** Trace context of the request. */
  trace: string | null;
  /** The id of the task that it is stored as; `null` where it is not to be stored. */
  taskId: string | null;
  /** A kept answer to the same request will do, and this one is kept where it is stored. */
  usesCache: boolean;
  /** Aborts when the client has left. */
  signal: AbortSignal;
};

/** What a provider answered: whole, or piece by piece. */
export type LiveAnswer = {
  status: number;
  contentType: string;
  /** The bytes as they came, unless `adjusted` says otherwise. */
  body: string | AsyncIterable<Uint8Array>;
  provider: string;
  /** What of the request was sent otherwise, and what of the answer is missing. */
  adjusted: string[];
  requestId: string | null;
  /** `null` where it is not known, or not yet. */
  costUsd: number | null;
  /** How long to wait before trying again, where the provider said so. */
  retryAfterMs: number | null;
  /** Trying again is no use. */
  isHopeless: boolean;
  /** It was kept; nothing was called. */
  isCached?: true;
};

/** Makes a live call, once at each provider that may take it. Throws `AppError` in OpenAI's words where none is made. */
export type LiveCalls = (request: LiveRequest) => Promise<LiveAnswer>;

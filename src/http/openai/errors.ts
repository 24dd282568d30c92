import type { Context } from "hono";

import { ERROR_STATUS, type ErrorCode } from "../../errors.ts";
import type { OpenAiWords } from "../../services/openai-refusal.ts";
import { NOT_JSON } from "../body.ts";
import type { AppEnv } from "../router.ts";

/** Whether a path belongs to OpenAI's dialect. */
export function isOpenAi(path: string): boolean {
  return path === "/v1" || path.startsWith("/v1/");
}

type Kind = { type: string; code: string | null; isHopeless?: true };

const INVALID: Kind = { type: "invalid_request_error", code: null };

/** Errors as OpenAI types them (https://platform.openai.com/docs/guides/error-codes); others are `invalid_request_error`. */
const KINDS: Partial<Record<ErrorCode, Kind>> = {
  UNAUTHORIZED: { type: "invalid_request_error", code: "invalid_api_key" },
  FORBIDDEN: { type: "invalid_request_error", code: "insufficient_permissions" },
  MODEL_NOT_SUPPORTED: { type: "invalid_request_error", code: "model_not_found" },
  METHOD_NOT_ALLOWED: { type: "invalid_request_error", code: "method_not_supported" },
  RATE_LIMIT_EXCEEDED: { type: "requests", code: "rate_limit_exceeded" },
  QUOTA_EXCEEDED: { type: "insufficient_quota", code: "insufficient_quota", isHopeless: true },
  INTERNAL_ERROR: { type: "server_error", code: null },
  SERVICE_UNAVAILABLE: { type: "server_error", code: "service_unavailable" },
};

type Failed = {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
  /** The wait before a retry, in seconds. */
  retryAfter: number;
};

/** The SDKs retry automatically up to this wait. */
const LONGEST_RETRY_MS = 60_000;

/** The headers by which the SDKs decide when to retry, or that a retry is useless. */
export function setRetryHeaders(
  c: Context<AppEnv>,
  { afterMs, isHopeless }: { afterMs: number | null; isHopeless: boolean },
): void {
  if (afterMs !== null) {
    c.header("retry-after-ms", String(Math.ceil(afterMs)));
    c.header("Retry-After", String(Math.ceil(afterMs / 1000)));
  }
  if (isHopeless || (afterMs ?? 0) > LONGEST_RETRY_MS) c.header("x-should-retry", "false");
}

/**
 * An error in OpenAI's format. The SDKs retry automatically after 408, 409, 429 and 5xx: the headers say when, or
 * that a retry is useless.
 */
export function openAiError(c: Context<AppEnv>, failed: Failed): Response {
  const { code, details, retryAfter } = failed;
  const status = ERROR_STATUS[code];
  const kind = KINDS[code] ?? INVALID;
  const words = wordsOf(code, details);
  const isPassing = status === 429 || status === 503;
  setRetryHeaders(c, {
    afterMs: isPassing ? retryAfter * 1000 : null,
    isHopeless: status === 409 || kind.isHopeless === true,
  });
  return c.json(
    {
      error: {
        message: messageOf(c, failed),
        type: kind.type,
        param: words.param,
        code: words.code ?? kind.code,
      },
    },
    status,
  );
}

function messageOf(c: Context<AppEnv>, { code, message, details: { openAi } }: Failed): string {
  if (code === "NOT_FOUND" && !isWords(openAi))
    return `Invalid URL (${c.req.method} ${c.req.path}); docs/openai.md lists the paths below /v1, /docs shows those of /api/v1`;
  if (code === "METHOD_NOT_ALLOWED")
    return `Not allowed to ${c.req.method} on ${c.req.path}. (HINT: Perhaps you meant to use a different HTTP method?)`;
  if (message.startsWith(NOT_JSON))
    return `We could not parse the JSON body of your request. (HINT: ${message.slice(NOT_JSON.length)})`;
  return message;
}

function wordsOf(code: ErrorCode, { openAi, issues }: Record<string, unknown>): OpenAiWords {
  if (isWords(openAi)) return openAi;
  const [issue] = Array.isArray(issues) ? (issues as { path?: unknown }[]) : [];
  const path = typeof issue?.path === "string" && issue.path !== "" ? issue.path : null;
  if (code === "MODEL_NOT_SUPPORTED") return { param: "model", code: null };
  // As OpenAI does, a body that cannot be read at all has neither.
  return {
    param: path,
    code: path !== null && code === "VALIDATION_ERROR" ? "invalid_value" : null,
  };
}

function isWords(value: unknown): value is OpenAiWords {
  return typeof value === "object" && value !== null && "param" in value && "code" in value;
}

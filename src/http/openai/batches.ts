import { Hono } from "hono";

import { type OpenAiStatus, openAiStatusOf } from "../../domain/openai-batch.ts";
import type { Endpoint } from "../../domain/request.ts";
import * as service from "../../services/openai-batches.ts";
import { badParam } from "../../services/openai-refusal.ts";
import { resultFileId, resultParts } from "../../services/openai-results.ts";
import type { RowIssue } from "../../services/row-issues.ts";
import type { Batch } from "../../store/batches.ts";
import { idempotencyKeyOf } from "../headers.ts";
import { type AppEnv, needs } from "../router.ts";
import { lifeIn } from "./files.ts";
import {
  afterOf,
  fieldsOf,
  limitOf,
  listOf,
  missing,
  requireKnown,
  seconds,
  secondsOrNull,
  unknownValue,
  wrongType,
} from "./query.ts";

const ENDPOINTS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/moderations",
  "/v1/images/generations",
];

/**
 * https://platform.openai.com/docs/api-reference/batch: the batches that were made from files, in the same engine.
 */
export const openAiBatchRoutes = new Hono<AppEnv>()
  .post("/batches", needs("write").middleware, async (c) => {
    const { ctx, caller } = c.var;
    const input = readCreation(c.get("body").value, ctx.config.openAiEndpoints);
    const batch = await service.createOpenAiBatch(ctx, caller, {
      ...input,
      idempotencyKey: idempotencyKeyOf(c, undefined),
    });
    c.set("answeredId", batch.id);
    return c.json(toBody(batch, ctx.clock.now()), 200);
  })
  .get("/batches", needs("read").middleware, async (c) => {
    const query = c.req.query();
    const { ctx } = c.var;
    const { batches, hasMore } = await service.listOpenAiBatches(ctx, {
      after: afterOf(query),
      limit: limitOf(query, { most: 100, usual: 20 }),
    });
    const now = ctx.clock.now();
    return c.json(
      listOf(
        batches.map((batch) => toBody(batch, now)),
        hasMore,
      ),
      200,
    );
  })
  .get("/batches/:id", needs("read").middleware, async (c) => {
    const batch = await service.requireOpenAiBatch(c.var.ctx, c.req.param("id"));
    if (batch.status === "paused") c.header("X-GTR-Paused", batch.pauseReason?.code ?? "requested");
    return c.json(toBody(batch, c.var.ctx.clock.now()), 200);
  })
  .post("/batches/:id/cancel", needs("write").middleware, async (c) => {
    fieldsOf(c.get("body").value, []);
    const batch = await service.cancelOpenAiBatch(c.var.ctx, c.req.param("id"));
    return c.json(toBody(batch, c.var.ctx.clock.now()), 200);
  });

const MOST_PAIRS = 16;
const LONGEST_NAME = 64;
const LONGEST_VALUE = 512;

const FIELDS = [
  "input_file_id",
  "endpoint",
  "completion_window",
  "metadata",
  "output_expires_after",
];

function readCreation(
  body: unknown,
  further: readonly string[],
): Omit<service.OpenAiBatchInput, "idempotencyKey"> {
  const given = fieldsOf(body, FIELDS);
  const endpoint = textIn(given, "endpoint");
  const known = [...ENDPOINTS, ...further];
  if (!known.includes(endpoint)) throw unknownValue("endpoint", endpoint, known);
  const completionWindow = textIn(given, "completion_window");
  return {
    inputFile: textIn(given, "input_file_id"),
    // Checked above.
    endpoint: endpoint as Endpoint,
    completionWindow,
    windowMs: windowOf(completionWindow),
    metadata: metadataIn(given["metadata"]),
    outputSeconds: outputLife(given["output_expires_after"]),
  };
}

function textIn(given: Record<string, unknown>, param: string): string {
  const value = given[param];
  if (value === undefined || value === null) throw missing(param);
  if (typeof value === "string" && value !== "") return value;
  throw wrongType(param, "a string", value);
}

const HOUR_MS = 3_600_000;
const LONGEST_WINDOW_MS = 30 * 24 * HOUR_MS;

/** `24h`, and other whole hours and minutes. */
function windowOf(text: string): number {
  const [, amount, unit] = /^([1-9]\d{0,4})([hm])$/.exec(text) ?? [];
  const ms = Number(amount) * (unit === "h" ? HOUR_MS : HOUR_MS / 60);
  if (amount !== undefined && ms <= LONGEST_WINDOW_MS) return ms;
  throw badParam(
    "completion_window",
    `Invalid value: '${text.slice(0, 50)}'. Supported values are: '24h', and other hours and minutes such as '2h' and '90m', up to 30 days.`,
  );
}

function metadataIn(value: unknown): Record<string, unknown> | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value))
    throw wrongType("metadata", "an object", value);
  const pairs = Object.entries(value);
  if (pairs.length > MOST_PAIRS)
    throw badParam(
      "metadata",
      `Invalid 'metadata': too many properties. Expected an object with at most ${MOST_PAIRS} properties, but got ${pairs.length} instead.`,
      "object_above_max_properties",
    );
  for (const [name, text] of pairs) {
    const param = `metadata.${name.slice(0, LONGEST_NAME)}`;
    if (typeof text !== "string") throw wrongType(param, "a string", text);
    // By characters: a string counts some of them, such as emoji, twice.
    if (Array.from(name).length > LONGEST_NAME || Array.from(text).length > LONGEST_VALUE)
      throw badParam(
        param,
        `Invalid '${param}': names have at most ${LONGEST_NAME} characters, values ${LONGEST_VALUE}.`,
        "string_above_max_length",
      );
  }
  return Object.fromEntries(pairs);
}

function outputLife(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const param = "output_expires_after";
  if (typeof value === "object" && !Array.isArray(value)) {
    requireKnown(
      Object.keys(value).map((name) => `${param}.${name}`),
      [`${param}.anchor`, `${param}.seconds`],
    );
    return lifeIn({ ...value }, param);
  }
  throw wrongType(param, "an object", value);
}

/** A batch in the form of OpenAI's API; its status is derived from the engine's. */
function toBody(batch: Batch, now: number) {
  const status = openAiStatusOf(batch);
  const { openAi, completedAt } = batch;
  const atEnd = (...statuses: OpenAiStatus[]) =>
    statuses.includes(status) ? secondsOrNull(completedAt) : null;
  const parts = completedAt === null ? [] : resultParts(batch, now);
  const fileId = (part: "output" | "errors") =>
    parts.includes(part) ? resultFileId(batch, part) : null;
  return {
    id: batch.id,
    object: "batch" as const,
    endpoint: openAi?.endpoint ?? "/v1/chat/completions",
    errors: status === "failed" ? errorsOf(batch) : null,
    input_file_id: batch.inputFile ?? "",
    completion_window: openAi?.completionWindow ?? "24h",
    status,
    output_file_id: fileId("output"),
    error_file_id: fileId("errors"),
    created_at: seconds(batch.createdAt),
    in_progress_at: secondsOrNull(batch.startedAt),
    expires_at: secondsOrNull(batch.deadlineAt),
    finalizing_at: secondsOrNull(batch.expiredAt) ?? atEnd("finalizing", "completed"),
    completed_at: atEnd("completed"),
    failed_at: atEnd("failed"),
    expired_at: atEnd("expired"),
    cancelling_at: batch.expiredAt === null ? secondsOrNull(batch.cancellingAt) : null,
    cancelled_at: atEnd("cancelled"),
    request_counts: countsOf(batch),
    usage: usageOf(batch),
    metadata: batch.metadata,
  };
}

/** When a batch has ended, requests that were never sent count as failed, because the error file contains them. */
function countsOf({ total, completed, failed, cancelled, completedAt }: Batch) {
  return { total, completed, failed: completedAt === null ? failed : failed + cancelled };
}

function usageOf(batch: Batch) {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens } = batch;
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

/** The code of what OpenAI has no code for. */
const INVALID_REQUEST = "invalid_request";

function errorsOf({ chainError }: Batch) {
  if (!chainError) return null;
  const { rows } = (chainError.details ?? {}) as { rows?: RowIssue[] };
  const data =
    rows && rows.length > 0
      ? rows.map(({ row, field, message, code }) => ({
          code: code ?? INVALID_REQUEST,
          message,
          param: field === "" ? null : field,
          line: row === 0 ? null : row,
        }))
      : [
          {
            code:
              chainError.code === "VALIDATION_ERROR"
                ? INVALID_REQUEST
                : chainError.code.toLowerCase(),
            message: chainError.message,
            param: null,
            line: null,
          },
        ];
  return { object: "list" as const, data };
}

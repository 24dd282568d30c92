import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { CAUSES, type Failure } from "../domain/failure.ts";
import type { Endpoint } from "../domain/request.ts";
import { executionId } from "../domain/task.ts";
import type { Called, Reused } from "./outcome.ts";

/** The outcome of a run, and whether it ended the run. */
export type Ended = { outcome: Called | Reused; isFinal: boolean };

const log = getLogger(["gptrunner", "executions"]);

const OPERATIONS: Partial<Record<Endpoint, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/responses": "chat",
  "/v1/completions": "text_completion",
  "/v1/embeddings": "embeddings",
};

/** The operation of an endpoint, as OpenTelemetry's conventions name it. */
export function operationOf(endpoint: Endpoint): string {
  return OPERATIONS[endpoint] ?? endpoint.slice("/v1/".length);
}

/** The kind of a failure, one of few words, as an attribute needs it. */
export function wordFor(failure: Failure | null): string | null {
  return failure && (failure.providerStatus?.toString() ?? failure.cause);
}

/** Logs the ends of executions, a line each, failures as warnings, and traces them. */
export function announceEnded(
  { tracing }: Pick<Context, "tracing">,
  ended: readonly Ended[],
): void {
  const logsAll = log.isEnabledFor("info");
  for (const one of ended) {
    if (one.isFinal && (logsAll || failureOf(one.outcome))) logEnd(one.outcome);
    if (!tracing.isOn) continue;
    const call = toTrace(one.outcome);
    if (one.outcome.kind === "called") tracing.call(call);
    if (one.isFinal)
      tracing.execution({
        ...call,
        attempts: call.attempt,
        status: call.error === null ? "completed" : "failed",
      });
  }
}

function failureOf(outcome: Called | Reused): Failure | null {
  return outcome.kind === "called" ? outcome.failure : null;
}

function logEnd(outcome: Called | Reused): void {
  const { final } = outcome;
  const failure = failureOf(outcome);
  const run = outcome.run.row;
  const facts = {
    executionId: executionId(final.task, run.run),
    status: final.status,
    model: run.model,
    provider: final.provider,
    attempts: run.attempt,
    ms: final.at - run.startedAt,
    providerRequestId: final.requestId,
  };
  if (failure)
    log.warning("{executionId} failed after {attempts} attempts: {code}", {
      ...facts,
      code: CAUSES[failure.cause].code,
      providerStatus: failure.providerStatus,
    });
  else log.info("{executionId} completed in {ms} ms", facts);
}

function toTrace(outcome: Called | Reused): Parameters<Context["tracing"]["call"]>[0] {
  const { final } = outcome;
  const failure = failureOf(outcome);
  const run = outcome.run.row;
  return {
    parent: run.trace,
    executionId: executionId(final.task, run.run),
    attempt: run.attempt,
    queuedAt: run.queuedAt,
    startedAt: run.claimedAt,
    endedAt: final.at,
    operation: operationOf(run.endpoint),
    provider: final.provider,
    // With a fallback, the model that was called is the one of the answer.
    model: final.fallbackFrom === null ? run.model : final.model,
    answeredBy: failure ? null : final.model,
    requestId: final.requestId,
    promptTokens: final.promptTokens,
    completionTokens: final.completionTokens,
    error: wordFor(failure),
  };
}

import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { CAUSES } from "../domain/failure.ts";
import type { Endpoint } from "../domain/request.ts";
import { executionId } from "../domain/task.ts";
import type { Outcome } from "./protocol.ts";
import type { RunFacts } from "./tally.ts";

/** A call that ended, and whether its run ended with it. */
export type Ended = { outcome: Outcome; run: RunFacts; isFinal: boolean };

const log = getLogger(["gptrunner", "executions"]);

const OPERATIONS: Partial<Record<Endpoint, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/responses": "chat",
  "/v1/completions": "text_completion",
  "/v1/embeddings": "embeddings",
};

/** Logs the ends of executions, a line each, failures as warnings, and tells the traces. */
export function tellEnded({ tracing }: Pick<Context, "tracing">, ended: readonly Ended[]): void {
  const tellsAll = log.isEnabledFor("info");
  for (const one of ended) {
    if (one.isFinal && (tellsAll || one.outcome.failure)) logEnd(one);
    if (!tracing.isOn) continue;
    const call = toTrace(one);
    if (!one.outcome.instead) tracing.call(call);
    if (one.isFinal)
      tracing.execution({
        ...call,
        attempts: call.attempt,
        status: call.error === null ? "completed" : "failed",
      });
  }
}

function logEnd({ outcome: { failure, final }, run }: Ended): void {
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

function toTrace({
  outcome: { failure, final },
  run,
}: Ended): Parameters<Context["tracing"]["call"]>[0] {
  return {
    parent: run.trace,
    executionId: executionId(final.task, run.run),
    attempt: run.attempt,
    queuedAt: run.queuedAt,
    startedAt: run.claimedAt,
    endedAt: final.at,
    operation: OPERATIONS[run.endpoint] ?? run.endpoint.slice("/v1/".length),
    provider: final.provider,
    // What stood in for the model that was asked for is what was called.
    model: final.fallbackFrom === null ? run.model : final.model,
    answeredBy: failure ? null : final.model,
    requestId: final.requestId,
    promptTokens: final.promptTokens,
    completionTokens: final.completionTokens,
    error: failure && (failure.providerStatus?.toString() ?? failure.cause),
  };
}

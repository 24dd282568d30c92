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

const OPERATIONS: Record<Endpoint, string> = {
  "/v1/chat/completions": "chat",
  "/v1/responses": "chat",
  "/v1/completions": "text_completion",
  "/v1/embeddings": "embeddings",
};

/**
 * Logs the ends of executions, a line each, and tells the traces. Failures are warnings; successes
 * are told at `debug` only: at ten thousand a second the log would cost more than the work.
 */
export function tellEnded({ tracing }: Pick<Context, "tracing">, ended: readonly Ended[]): void {
  const tellsAll = log.isEnabledFor("debug");
  for (const one of ended) {
    if (one.isFinal && (tellsAll || one.outcome.failure)) logEnd(one);
    if (tracing.isOn && !one.outcome.instead) tracing.call(toTrace(one));
  }
}

function logEnd({ outcome: { failure, final }, run }: Ended): void {
  const facts = {
    executionId: executionId(final.task, run.run),
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
  else log.debug("{executionId} completed in {ms} ms", facts);
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
    operation: OPERATIONS[run.endpoint],
    provider: final.provider,
    model: run.model,
    answeredBy: failure ? null : final.model,
    requestId: final.requestId,
    promptTokens: final.promptTokens,
    completionTokens: final.completionTokens,
    error: failure && (failure.providerStatus?.toString() ?? failure.cause),
  };
}

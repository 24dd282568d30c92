import { nextAsk } from "../domain/ask-again.ts";
import { CAUSES, type Failure } from "../domain/failure.ts";
import { laneOfModel } from "../domain/flex.ts";
import type { Retry } from "../store/postpone.ts";
import { type ClaimedRun, isFlex } from "./claimed-run.ts";
import type { Called } from "./outcome.ts";

/** Whether a call that would end its run is followed by a repair or an escalation; `null` if by neither. */
export function asksAgain({ run, failure, final, repair }: Called): "repair" | "escalation" | null {
  const { isTruncated } = final;
  return nextAsk({ failure, isTruncated, mayRepair: repair !== null }, run.row);
}

/** The retry of a run whose answer is not good enough; `null` if the run ends. */
export function askAgain(called: Called): Retry | null {
  const next = asksAgain(called);
  if (next === null) return null;
  const { run, failure, repair } = called;
  return {
    t: run.row.task,
    c: run.claim,
    f: 0,
    at: null,
    next,
    entry: logEntry(called, failure ?? CUT_OFF, "failed"),
    ...spentBy(called),
    ...(next === "repair" && repair ? { repair } : {}),
  };
}

/** The usage of a call after which its run goes on, if the call is known to have used anything. */
export function spentBy({ final }: Called): Pick<Retry, "spent"> {
  if (final.promptTokens === null) return {};
  return {
    spent: {
      p: final.promptTokens,
      c: final.completionTokens ?? 0,
      k: final.cachedTokens ?? 0,
      r: final.reasoningTokens ?? 0,
      u: final.costUsd,
    },
  };
}

const CUT_OFF: Failure = {
  cause: "truncated",
  message: "The answer was cut off",
  providerStatus: null,
  retryAfterMs: null,
  requestId: null,
};

/** The name of the lane that a run goes on in. */
export function laneAfter(run: ClaimedRun, { x, next }: Retry): string {
  const { model, escalateTo } = run.row;
  if (x === 1) return model;
  if (next !== "escalation" || escalateTo === null) return run.lane.model;
  return laneOfModel(escalateTo, isFlex(run));
}

/** The entry of a failed attempt in its run's log; the store adds its number and start. */
export function logEntry(
  { final }: Called,
  { cause, message, providerStatus, requestId }: Failure,
  outcome: "failed" | "throttled",
): Record<string, unknown> {
  return {
    outcome,
    endedAt: final.at,
    cause,
    code: CAUSES[cause].code,
    message,
    providerStatus,
    requestId,
    provider: final.provider,
    model: final.model,
  };
}

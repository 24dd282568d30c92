import type { Config } from "../config.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { CAUSES, type Failure, type RetryPolicy } from "../domain/failure.ts";
import { costUsd, priceOf } from "../domain/prices.ts";
import type { Provider } from "../domain/provider.ts";
import { withModel } from "../domain/request.ts";
import type { Claimed } from "../store/queue.ts";
import type { Final } from "../store/settle.ts";
import type { Lane } from "./lane-book.ts";
import type { Called } from "./outcome.ts";
import type { Paced } from "./pacing.ts";
import type { Call, Report } from "./protocol.ts";

/** All that this process knows of a run that it has claimed, from the claim to its committed settlement. */
export type ClaimedRun = {
  row: Claimed;
  /** The number of the claim; with the task it names the run's call everywhere. */
  claim: number;
  lane: Lane;
  policy: RetryPolicy;
  /** How its call is counted; `null` where the simulator makes it for a dry run, or none is made. */
  paced: Paced | null;
  /** It is reported and has freed its slot. */
  hasEnded: boolean;
};

type Settings = Pick<Config, "providers" | "simulator" | "requestTimeoutMs">;

/** The model that is called, which may stand in for the one that was asked for. */
export function calledModel({ row, paced }: ClaimedRun): string {
  return paced?.upstream.model ?? row.model;
}

/** The call to be made for a run. */
export function toCall(run: ClaimedRun, { requestTimeoutMs }: Settings): Call {
  const { row, claim, paced } = run;
  const called = calledModel(run);
  return {
    task: row.task,
    claim,
    provider: row.isDryRun === 1 ? null : (paced?.upstream.site.index ?? 0),
    key: paced?.upstream.account.key ?? 0,
    endpoint: row.endpoint,
    body: called === row.model ? row.body : withModel(row.body, called),
    timeoutMs: row.timeoutMs ?? requestTimeoutMs,
    isUrgent: row.lane === SINGLE_TASKS,
  };
}

/** What a worker thread reports of a run's call, with what is known of the run. */
export function toCalled(run: ClaimedRun, report: Report, settings: Settings): Called {
  const { failure, signals, isAbandoned } = report;
  const provider = providerOf(run, settings);
  const key = run.paced?.upstream.account.key ?? 0;
  return {
    kind: "called",
    run,
    failure,
    signals,
    isAbandoned,
    account: key === 0 ? provider.name : `${provider.name} (key ${key + 1})`,
    final: toFinal(run, report, provider),
  };
}

function providerOf({ row, paced }: ClaimedRun, { providers, simulator }: Settings): Provider {
  if (row.isDryRun === 1) return simulator;
  return paced?.upstream.site.provider ?? providers[0] ?? simulator;
}

function toFinal(run: ClaimedRun, report: Report, provider: Provider): Final {
  const { failure, usage, at, requestId, response, adjusted, isTruncated, serviceTier } = report;
  const called = calledModel(run);
  const model = report.model ?? called;
  return {
    task: run.row.task,
    claim: run.claim,
    status: failure ? "failed" : "completed",
    at,
    provider: provider.name,
    model,
    fallbackFrom: called === run.row.model ? null : run.row.model,
    requestId,
    promptTokens: usage?.promptTokens ?? null,
    completionTokens: usage?.completionTokens ?? null,
    cachedTokens: usage?.cachedTokens ?? null,
    reasoningTokens: usage?.reasoningTokens ?? null,
    costUsd:
      usage &&
      costUsd(
        priceAt(provider, model, at) ?? priceAt(provider, called, at),
        usage,
        serviceTier ?? undefined,
      ),
    response,
    error: failure && JSON.stringify(toErrorBody(failure)),
    isCached: false,
    adjusted,
    isTruncated,
    cacheKey: run.row.cacheKey,
  };
}

function priceAt(provider: Provider, model: string, at: number) {
  return priceOf(model, provider.prices, provider, at);
}

function toErrorBody({ cause, message, providerStatus }: Failure) {
  const { code, retryable } = CAUSES[cause];
  return { code, message, providerStatus, retryable };
}

import type { Config } from "../config.ts";
import type { Mismatch } from "../domain/answer-check.ts";
import { readRepair, toRepair, withRepair } from "../domain/ask-for-json.ts";
import { isSingle } from "../domain/batch.ts";
import { CAUSES, type Failure, type RetryPolicy } from "../domain/failure.ts";
import { FLEX_GIVEN_UP, FLEX_TIMEOUT_MS } from "../domain/flex.ts";
import { accountName, type Provider } from "../domain/provider.ts";
import { withModel, withoutTier } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";
import type { Claimed } from "../store/claim.ts";
import type { Hopeless } from "../store/release.ts";
import type { Final, FinalRow } from "../store/settle.ts";
import { costOfAnswer } from "./answer-cost.ts";
import type { Lane } from "./lane-book.ts";
import type { Called, PutBack, Reused } from "./outcome.ts";
import type { Paced } from "./pacing.ts";
import type { Call, Report } from "./protocol.ts";

/** All that this process knows of a run that it has claimed, from the claim to its committed settlement. */
export type ClaimedRun = {
  row: Claimed;
  /** The number of the claim; with the task it names the run's call everywhere. */
  claim: number;
  lane: Lane;
  policy: RetryPolicy;
  /** How the pacer counts its call; `null` if the simulator answers it in a dry run, or no call is made. */
  paced: Paced | null;
  /** Its end is reported, and its slot is free. */
  hasEnded: boolean;
};

type Settings = Pick<Config, "providers" | "simulator" | "requestTimeoutMs">;

/** The model that is called, which may be a fallback for the requested one. */
export function calledModel({ row, paced }: ClaimedRun): string {
  return paced?.upstream.model ?? row.model;
}

/** Whether a run is called at the flex tier. */
export function isFlex({ row }: Pick<ClaimedRun, "row">): boolean {
  return row.flexUntil !== null;
}

/** Whether the time has passed until which a run waits for the flex tier. */
export function isPastFlex({ flexUntil }: Claimed, now: number): boolean {
  return flexUntil !== null && now >= flexUntil;
}

/**
 * What becomes of a run that was claimed when that time had passed. A call may take until then, and what follows it, such as
 * a repair, is queued for the tier of the call.
 */
export function leavingFlex(run: ClaimedRun): PutBack {
  return { kind: "putBack", run, leavesFlex: true };
}

/** Whether a run requested the flex tier and gave up waiting for it. */
function gaveUpFlex({ row }: ClaimedRun): boolean {
  return row.asksFlex === 1 && row.flexUntil === null && row.isDryRun === 0;
}

function bodyFor(run: ClaimedRun, called: string): string {
  const { body: asked, firstModel, repair } = run.row;
  let body = gaveUpFlex(run) ? withoutTier(asked) : asked;
  const quoted = readRepair(repair);
  if (quoted) body = withRepair(body, quoted);
  return called === firstModel ? body : withModel(body, called);
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
    body: bodyFor(run, called),
    timeoutMs: row.timeoutMs ?? (isFlex(run) ? FLEX_TIMEOUT_MS : requestTimeoutMs),
    isChecked: row.maxRepairs !== null,
    isUrgent: isSingle(row.lane),
  };
}

/**
 * The outcome of a run whose result the database refuses: a failure that says so. At first the usage is kept; with
 * `isBare`, only facts that come from this program itself.
 */
export function withoutResult(
  { run, final }: Called | Reused,
  why: string,
  isBare: boolean,
): Called {
  const message = `The answer could not be stored: ${why.slice(0, LONGEST_REASON)}. Ask for a shorter one, or use a database that takes it`;
  const failure: Failure = {
    cause: "not_storable",
    message,
    providerStatus: null,
    retryAfterMs: null,
    requestId: null,
  };
  return {
    kind: "called",
    run,
    failure,
    repair: null,
    signals: null,
    account: final.provider,
    isAbandoned: false,
    final: {
      ...final,
      ...(isBare ? { ...NOTHING_USED, model: run.row.model, requestId: null } : {}),
      status: "failed",
      response: null,
      error: JSON.stringify(toErrorBody(failure)),
      adjusted: [],
      isTruncated: false,
      isRepaired: false,
      cacheKey: null,
    },
  };
}

const LONGEST_REASON = 200;

const NOTHING_USED = {
  promptTokens: null,
  completionTokens: null,
  cachedTokens: null,
  reasoningTokens: null,
  costUsd: null,
  isEstimated: false,
};

/** The end of a run of which too many attempts were interrupted. */
export function toInterrupted(
  { task, claim, model }: Hopeless,
  most: number,
  at: number,
): FinalRow {
  const error = {
    code: CAUSES.interrupted_too_often.code,
    message: `The process ended ${most} times while it ran this task. See whether the task is what ends it, then execute it again`,
    providerStatus: null,
    retryable: CAUSES.interrupted_too_often.retryable,
  };
  return {
    ...NOTHING_USED,
    task,
    claim,
    status: "failed",
    at,
    provider: null,
    model,
    fallbackFrom: null,
    requestId: null,
    response: null,
    error: JSON.stringify(error),
    isCached: false,
    adjusted: [],
    isTruncated: false,
    isRepaired: false,
    escalatedFrom: null,
    cacheKey: null,
  };
}

/** Combines a worker thread's report of a call with what is known of the run. */
export function toCalled(run: ClaimedRun, report: Report, settings: Settings): Called {
  const { failure, signals, isAbandoned } = report;
  const provider = providerOf(run, settings);
  const key = run.paced?.upstream.account.key ?? 0;
  return {
    kind: "called",
    run,
    failure,
    repair: null,
    signals,
    isAbandoned,
    account: accountName(provider, key),
    final: toFinal(run, report, provider),
  };
}

/** The model that was called before the run was escalated. */
export function escalatedFrom({ row }: Pick<ClaimedRun, "row">): string | null {
  return row.isEscalated === 1 ? row.firstModel : null;
}

/** Marks a call as failed because its answer does not match the schema. The answer is kept. */
export function mismatched(called: Called, text: string | null, mismatch: Mismatch): Called {
  const { problem, mayRepair } = mismatch;
  const isCutOff = called.final.isTruncated ? "; it was cut off, so raise maxTokens" : "";
  const failure: Failure = {
    cause: "schema_mismatch",
    message: `The answer does not match the schema: ${problem}${isCutOff}`,
    providerStatus: null,
    retryAfterMs: null,
    requestId: called.final.requestId,
  };
  const final: Final = {
    ...called.final,
    status: "failed",
    error: JSON.stringify(toErrorBody(failure)),
    isRepaired: false,
  };
  return { ...called, failure, final, repair: mayRepair ? toRepair(text, problem) : null };
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
    isEstimated: usage?.estimated === true,
    costUsd: usage && costOfCall(run, { usage, model, at, serviceTier }, provider),
    response,
    error: failure && JSON.stringify(toErrorBody(failure)),
    isCached: false,
    adjusted: gaveUpFlex(run) ? [FLEX_GIVEN_UP, ...adjusted] : adjusted,
    isTruncated,
    isRepaired: failure === null && run.row.repair !== null,
    escalatedFrom: escalatedFrom(run),
    cacheKey: run.row.cacheKey,
  };
}

/** The answers of the built-in provider are free, but a dry run shows what those of a real provider would cost. */
function costOfCall(
  run: ClaimedRun,
  {
    usage,
    model,
    at,
    serviceTier,
  }: Pick<Report, "at" | "serviceTier"> & { usage: Usage; model: string },
  provider: Provider,
): number | null {
  if (provider.kind === "simulator" && run.row.isDryRun === 0) return 0;
  const { endpoint } = run.row;
  const called = calledModel(run);
  return costOfAnswer(provider, { endpoint, called, model, usage, at, serviceTier });
}

function toErrorBody({ cause, message, providerStatus }: Failure) {
  const { code, retryable } = CAUSES[cause];
  return { code, message, providerStatus, retryable };
}

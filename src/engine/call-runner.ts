import type { ProviderConfig } from "../config.ts";
import type { Delta } from "../context.ts";
import { CAUSES, type Failure } from "../domain/failure.ts";
import { costUsd } from "../domain/prices.ts";
import type { CallResult, ProviderCall } from "../providers/call.ts";
import { createCaller } from "../providers/openai.ts";
import type { Call, FromWorker, Outcome, ToWorker } from "./protocol.ts";

/** A report carries what ended within this time, so that a busy main thread gets few messages. */
const REPORT_AFTER_MS = 2;
const REPORT_AT_MOST = 32;

/**
 * What a worker thread does: it starts the calls it is given, all at once, and reports what comes of
 * them. An answer is reported at once when nothing else is in flight, otherwise with those that end
 * in the same two milliseconds.
 */
export function createCallRunner(post: (message: FromWorker) => void): (message: ToWorker) => void {
  const running = new Map<number, AbortController>();
  let callers: { real: Caller; simulated: Caller } | undefined;
  let outcomes: Outcome[] = [];
  let deltas: Delta[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function report(): void {
    clearTimeout(timer);
    timer = undefined;
    post({ type: "report", outcomes, deltas });
    outcomes = [];
    deltas = [];
  }

  function reportSoon(): void {
    if (running.size === 0 || outcomes.length >= REPORT_AT_MOST) report();
    else timer ??= setTimeout(report, REPORT_AFTER_MS);
  }

  async function run(call: Call): Promise<void> {
    if (!callers) throw new Error("a call came before the start message");
    const { name, caller } = call.isDryRun ? callers.simulated : callers.real;
    const abort = new AbortController();
    running.set(call.task, abort);
    let offset = 0;
    const result = await caller({
      endpoint: call.endpoint,
      body: call.body,
      timeoutMs: call.timeoutMs,
      abort,
      onDelta(text) {
        deltas.push({ task: call.task, offset, text });
        offset += text.length;
        timer ??= setTimeout(report, REPORT_AFTER_MS);
      },
    });
    // The same task may have been cancelled and started again meanwhile.
    if (running.get(call.task) === abort) running.delete(call.task);
    outcomes.push(toOutcome(call, name, result, Date.now()));
    reportSoon();
  }

  return (message) => {
    if (message.type === "start")
      callers = { real: named(message.provider), simulated: named(message.simulator) };
    else if (message.type === "run") for (const call of message.calls) void run(call);
    else for (const task of message.tasks) running.get(task)?.abort();
  };
}

type Caller = { name: string; caller: (call: ProviderCall) => Promise<CallResult> };

function named(provider: ProviderConfig): Caller {
  return { name: provider.name, caller: createCaller(provider) };
}

/** The report of a call that ended, or that was lost with its worker thread. */
export function toOutcome(call: Call, provider: string, result: CallResult, at: number): Outcome {
  const failure = result.ok ? null : result.failure;
  const model = result.answer?.model ?? call.model;
  const usage = result.answer?.usage ?? null;
  return {
    task: call.task,
    claim: call.claim,
    failure,
    signals: result.signals,
    final: {
      task: call.task,
      claim: call.claim,
      status: result.ok ? "completed" : "failed",
      at,
      provider,
      model,
      requestId: result.ok ? result.requestId : result.failure.requestId,
      promptTokens: usage?.promptTokens ?? null,
      completionTokens: usage?.completionTokens ?? null,
      cachedTokens: usage?.cachedTokens ?? null,
      reasoningTokens: usage?.reasoningTokens ?? null,
      costUsd: usage && (costUsd(model, usage) ?? costUsd(call.model, usage)),
      response: result.response,
      error: failure && JSON.stringify(toErrorBody(failure)),
      isCached: false,
      cacheKey: call.cacheKey,
    },
  };
}

function toErrorBody({ cause, message, providerStatus }: Failure) {
  const { code, retryable } = CAUSES[cause];
  return { code, message, providerStatus, retryable };
}

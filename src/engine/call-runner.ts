import type { Delta } from "../context.ts";
import { CAUSES, type Failure } from "../domain/failure.ts";
import { costUsd, priceOf } from "../domain/prices.ts";
import type { Provider } from "../domain/provider.ts";
import type { Cancel } from "../lib/clock.ts";
import type { CallResult, ProviderCall } from "../providers/call.ts";
import { createCaller } from "../providers/openai.ts";
import type { Outside } from "../providers/outside.ts";
import type { Call, FromWorker, Outcome, ToWorker } from "./protocol.ts";
import { createStarter, type Startable } from "./starter.ts";

/** A report carries what ended within this time, so that a busy main thread gets few messages. */
const REPORT_AFTER_MS = 2;
const REPORT_AT_MOST = 32;

/**
 * What a worker thread does: it starts the calls it is given (`starter.ts`) and reports what comes of
 * them. An answer is reported at once when nothing else is in flight, otherwise with those that end
 * in the same two milliseconds.
 */
export function createCallRunner(
  post: (message: FromWorker) => void,
  outside: Outside,
): (message: ToWorker) => void {
  const { clock } = outside;
  /** Calls taken on that have not ended, by task; those that wait for their start, too. */
  const running = new Map<number, Taken>();
  const starter = createStarter<Taken>((taken) => void run(taken), clock);
  let callerFor: ((call: Call) => Caller) | undefined;
  let outcomes: Outcome[] = [];
  let deltas: Delta[] = [];
  let cancelTimer: Cancel | undefined;

  function report(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    post({ type: "report", outcomes, deltas });
    outcomes = [];
    deltas = [];
  }

  function reportSoon(): void {
    if (running.size === 0 || outcomes.length >= REPORT_AT_MOST) report();
    else cancelTimer ??= clock.setTimeout(report, REPORT_AFTER_MS);
  }

  function take(call: Call): Taken {
    const taken = { call, abort: new AbortController(), startedAt: 0, isYoung: false };
    running.set(call.task, taken);
    return taken;
  }

  async function run(taken: Taken): Promise<void> {
    const { call, abort } = taken;
    if (!callerFor) throw new Error("a call came before the start message");
    const { provider, caller } = callerFor(call);
    let offset = 0;
    const result = await caller({
      endpoint: call.endpoint,
      body: call.body,
      timeoutMs: call.timeoutMs,
      abort,
      onDelta(text) {
        deltas.push({ task: call.task, offset, text });
        offset += text.length;
        cancelTimer ??= clock.setTimeout(report, REPORT_AFTER_MS);
      },
    });
    // The same task may have been cancelled and started again meanwhile.
    if (running.get(call.task) === taken) running.delete(call.task);
    outcomes.push({
      ...toOutcome(call, provider, result, clock.now()),
      isAbandoned: abort.signal.reason === ABANDONED,
    });
    starter.end(taken);
    reportSoon();
  }

  return (message) => {
    if (message.type === "start") callerFor = createCallers(message, outside);
    else if (message.type === "run") starter.add(message.calls.map(take));
    else for (const task of message.tasks) running.get(task)?.abort.abort(ABANDONED);
  };
}

type Taken = Startable & { call: Call; abort: AbortController };

const ABANDONED = "abandoned";

type Caller = { provider: Provider; caller: (call: ProviderCall) => Promise<CallResult> };

/** One caller for each provider and key, made when it is first needed. */
function createCallers(
  { providers, simulator }: { providers: Provider[]; simulator: Provider },
  outside: Outside,
): (call: Call) => Caller {
  const made = new Map<string, Caller>();
  return (call) => {
    const provider = providerOf(call, providers, simulator);
    const name = `${provider.name}#${call.key}`;
    let caller = made.get(name);
    if (!caller) {
      caller = { provider, caller: createCaller(provider, outside, call.key) };
      made.set(name, caller);
    }
    return caller;
  };
}

export function providerOf(call: Call, providers: Provider[], simulator: Provider): Provider {
  return (call.isDryRun ? undefined : providers[call.provider]) ?? simulator;
}

/** The report of a call that ended, or that was lost with its worker thread. */
export function toOutcome(call: Call, provider: Provider, result: CallResult, at: number): Outcome {
  const failure = result.ok ? null : result.failure;
  const model = result.answer?.model ?? call.model;
  const usage = result.answer?.usage ?? null;
  return {
    task: call.task,
    claim: call.claim,
    failure,
    account: call.key === 0 ? provider.name : `${provider.name} (key ${call.key + 1})`,
    isAbandoned: false,
    signals: result.signals,
    final: {
      task: call.task,
      claim: call.claim,
      status: result.ok ? "completed" : "failed",
      at,
      provider: provider.name,
      model,
      fallbackFrom: call.fallbackFrom,
      requestId: result.ok ? result.requestId : result.failure.requestId,
      promptTokens: usage?.promptTokens ?? null,
      completionTokens: usage?.completionTokens ?? null,
      cachedTokens: usage?.cachedTokens ?? null,
      reasoningTokens: usage?.reasoningTokens ?? null,
      costUsd:
        usage &&
        costUsd(priceOf(model, provider.prices) ?? priceOf(call.model, provider.prices), usage),
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

import type { Delta } from "../context.ts";
import { isTruncated } from "../domain/answer.ts";
import { mayBeCharged } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { Usage } from "../domain/usage.ts";
import { orCrash } from "../lib/background.ts";
import type { Cancel } from "../lib/clock.ts";
import type { FileSystem } from "../lib/file-system.ts";
import { createSharedRoom } from "../lib/shared-room.ts";
import { createUploadReader, type ReadUpload } from "../lib/upload-reader.ts";
import { type Adjustments, createAdjustments } from "../providers/adjust.ts";
import type { CallResult, ProviderCall } from "../providers/call.ts";
import { estimateUnanswered, estimateUsage } from "../providers/estimated-usage.ts";
import { bytesToInline } from "../providers/inline.ts";
import { createModelList } from "../providers/model-catalogue.ts";
import { createCaller } from "../providers/openai.ts";
import type { Outside } from "../providers/outside.ts";
import { loadSdk } from "../providers/sdk.ts";
import { withSuggestions } from "../providers/suggest.ts";
import type { Call, FromWorker, Report, ToWorker } from "./protocol.ts";
import { createStarter, type Startable } from "./starter.ts";

/** The most bytes of uploads that a thread holds at a time, each in a few copies; a larger request is sent alone. */
const MOST_INLINED_BYTES = 32_000_000;
/** Calls that end within this time share a report, so that a busy main thread gets few messages. */
const REPORT_AFTER_MS = 2;
const REPORT_AT_MOST = 32;

/**
 * The work of a worker thread: it starts the calls that it receives (`starter.ts`) and reports their results. An
 * answer is reported at once if nothing else is in flight, otherwise together with those of the same two
 * milliseconds.
 */
export function createCallRunner(
  post: (message: FromWorker) => void,
  outside: Outside & { files: Pick<FileSystem, "readStart"> },
): (message: ToWorker) => void {
  const { clock } = outside;
  const enterMemory = createSharedRoom(MOST_INLINED_BYTES);
  let readUpload: ReadUpload = async () => null;
  /** Calls that have not ended, by task, including those that wait for their start. */
  const running = new Map<number, Taken>();
  const starter = createStarter<Taken>((taken) => orCrash(clock, run(taken)), clock);
  let callerFor: ((call: Call) => Caller) | undefined;
  let reports: Report[] = [];
  let deltas: Delta[] = [];
  let cancelTimer: Cancel | undefined;

  function report(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    post({ type: "report", reports, deltas });
    reports = [];
    deltas = [];
  }

  function reportSoon(): void {
    if (running.size === 0 || reports.length >= REPORT_AT_MOST) report();
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
    let arrived = "";
    const bytes = bytesToInline(call.body);
    const leaveMemory = bytes === 0 ? undefined : await enterMemory(bytes, abort.signal);
    const result = await callerFor(call)({
      endpoint: call.endpoint,
      body: call.body,
      timeoutMs: call.timeoutMs,
      isChecked: call.isChecked,
      abort,
      readUpload,
      onDelta(text) {
        deltas.push({ task: call.task, offset: arrived.length, text });
        arrived += text;
        cancelTimer ??= clock.setTimeout(report, REPORT_AFTER_MS);
      },
    });
    const isAbandoned = abort.signal.reason === ABANDONED;
    const usage =
      result.answer?.usage ?? (await estimatedUsage(call, result, isAbandoned ? null : arrived));
    leaveMemory?.();
    // The same task may have been cancelled and started again meanwhile.
    if (running.get(call.task) === taken) running.delete(call.task);
    reports.push(toReport(call, result, { at: clock.now(), isAbandoned, usage }));
    starter.end(taken);
    reportSoon();
  }

  return (message) => {
    if (message.type === "start") {
      // Before the first call needs it, which reports what is wrong if this fails.
      if (message.providers.some(({ kind }) => kind === "openai")) loadSdk().catch(() => undefined);
      callerFor = createCallers(message, outside);
      readUpload = createUploadReader(message.uploads, outside);
    } else if (message.type === "run") starter.add(message.calls.map(take));
    else for (const task of message.tasks) running.get(task)?.abort.abort(ABANDONED);
  };
}

type Taken = Startable & { call: Call; abort: AbortController };

const ABANDONED = "abandoned";

type Caller = (call: ProviderCall) => Promise<CallResult>;

/** One caller for each provider and key, created on first use. */
function createCallers(
  { providers, simulator }: { providers: Provider[]; simulator: Provider },
  outside: Outside,
): (call: Call) => Caller {
  const made = new Map<string, Caller>();
  const adjustments = new Map<Provider, Adjustments>();
  const adjustmentsOf = (provider: Provider) => {
    let known = adjustments.get(provider);
    if (!known) adjustments.set(provider, (known = createAdjustments()));
    return known;
  };
  return (call) => {
    const provider = (call.provider === null ? undefined : providers[call.provider]) ?? simulator;
    const name = `${provider.name}#${call.key}`;
    let caller = made.get(name);
    if (!caller) {
      const send = createCaller(provider, outside, call.key, adjustmentsOf(provider));
      const list = createModelList(provider, outside, call.key);
      caller = async (request) => {
        const result = await send(request);
        return result.ok ? result : withSuggestions(request.body, result, list);
      };
      made.set(name, caller);
    }
    return caller;
  };
}

/**
 * The usage of a call that reports none, counted here if there is an answer, or if the provider may have made one that
 * did not arrive. `arrived` is the text of a stream so far; `null`: nobody waits for the call any more.
 */
async function estimatedUsage(
  call: Call,
  result: CallResult,
  arrived: string | null,
): Promise<Usage | null> {
  const { answer } = result;
  if (answer) return estimateUsage(call, answer);
  if (arrived === null || result.ok || !mayBeCharged(result.failure)) return null;
  return estimateUnanswered(call, arrived);
}

function textOf(result: CallResult): string | null {
  return result.answer?.content ?? (result.ok ? null : (result.mismatch ?? null));
}

/** The report of a call that ended, or that was lost with its worker thread. */
export function toReport(
  { task, claim, isChecked }: Pick<Call, "task" | "claim" | "isChecked">,
  result: CallResult,
  { at, isAbandoned, usage }: Pick<Report, "at" | "isAbandoned" | "usage">,
): Report {
  return {
    task,
    claim,
    at,
    isAbandoned,
    failure: result.ok ? null : result.failure,
    requestId: result.ok ? result.requestId : result.failure.requestId,
    response: result.response,
    text: isChecked ? textOf(result) : null,
    model: result.answer?.model ?? null,
    usage,
    signals: result.signals,
    adjusted: result.adjusted,
    isTruncated: result.ok && isTruncated(result.answer),
    serviceTier: result.answer?.serviceTier ?? null,
  };
}

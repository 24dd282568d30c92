import { getLogger } from "@logtape/logtape";

import type { Context } from "../../context.ts";
import { isTruncated } from "../../domain/answer.ts";
import { isHalt, isWaiting, looksDown, type Failure } from "../../domain/failure.ts";
import { laneOfModel, tierOf } from "../../domain/flex.ts";
import type { Provider, Route } from "../../domain/provider.ts";
import { withModel } from "../../domain/request.ts";
import { AppError } from "../../errors.ts";
import { background } from "../../lib/background.ts";
import { type Adjustments, createAdjustments } from "../../providers/adjust.ts";
import { classifyThrown } from "../../providers/classify.ts";
import type { Outside } from "../../providers/outside.ts";
import { createPassage, type Passed } from "../../providers/passage.ts";
import type { LiveAnswer, LiveRequest } from "../../services/live.ts";
import type { LiveExecution } from "../../store/live-tasks.ts";
import { costOfAnswer } from "../answer-cost.ts";
import { verdictOn, withAsked } from "../pacing.ts";
import type { Upstreams } from "../upstreams.ts";
import { type Heard, hearWhole, passStream } from "./answers.ts";
import { createLiveBooks } from "./books.ts";
import { createRecords, errorOf } from "./records.ts";
import { createTurns, type Turn } from "./turns.ts";

/** Longer than this nobody waits for the counting of tokens. */
const COUNTING_MS = 200;
/** The thread that counts takes seconds to start. */
const SETTLING_MS = 30_000;
const USAGE_ASKED = "stream_options.include_usage added";

export type LiveOptions = {
  upstreams: Upstreams;
  /** There is room for another call at a provider that takes so many at a time. */
  onFreed: () => void;
  outside: Outside;
};

/** An attempt at one provider. */
type Attempt = Turn & {
  request: LiveRequest;
  startedAt: number;
  reservation: number | null;
  /** What the last attempt came to that another may make good. */
  failed: { execution?: LiveExecution };
};

/*
 * Calls that somebody waits for. They are made on the main thread, as their bytes need not be read to be handed on, and
 * a hop to a worker thread and back takes longer than all else that is done for one. A call is
 *
 *   waiting    for money, where its key has a budget (`books.ts`), and for its turn at the pacer (`turns.ts`).
 *   sent       once to each provider that may take it, until one answers. What a provider says last is the answer.
 *   answered   whole, or as a stream. Pacer and breaker hear how it ended, and the books what it cost.
 *   left       by its client: its connection to the provider is closed.
 */
export function createLive(ctx: Context, { upstreams, onFreed, outside }: LiveOptions) {
  const books = createLiveBooks(ctx);
  const turns = createTurns(ctx, upstreams);
  const records = createRecords(ctx);
  const passages = new Map<string, ReturnType<typeof createPassage>>();
  const adjustments = new Map<Provider, Adjustments>();
  let inFlight = 0;
  let onIdle: (() => void) | undefined;
  let isStopping = false;

  function passageOf({ upstream }: Turn) {
    const { site, account } = upstream;
    const name = `${site.index}/${account.key}`;
    let passage = passages.get(name);
    if (passage) return passage;
    const { provider } = site;
    const known = adjustments.get(provider) ?? createAdjustments();
    adjustments.set(provider, known);
    passages.set(name, (passage = createPassage(provider, outside, account.key, known)));
    return passage;
  }

  async function tokensOf(lane: string, { model, text }: LiveRequest): Promise<number> {
    if (turns.peek(lane)?.pacer.limitsTokens() !== true) return 0;
    const [size] = await ctx.tokens.measure([{ model, body: text }], COUNTING_MS);
    return (size?.promptTokens ?? 0) + (size?.maxOutputTokens ?? 0);
  }

  async function reserve(lane: string, { caller, signal }: LiveRequest): Promise<number | null> {
    const upstream = caller.hasBudget ? turns.peek(lane) : null;
    const price = upstream ? upstreams.priceAt(upstream) : "free";
    return price === "free" ? null : books.reserve(caller.key, price, signal);
  }

  async function call(request: LiveRequest): Promise<LiveAnswer> {
    const lane = laneOfModel(request.model, tierOf(request.body) === "flex");
    const tokens = await tokensOf(lane, request);
    const reservation = await reserve(lane, request);
    const tried: Route[] = [];
    let last: LiveAnswer | undefined;
    const failed: Attempt["failed"] = {};
    try {
      for (;;) {
        const turn = await takeTurn({ lane, tokens, tried, signal: request.signal }, last);
        if (!turn) break;
        const { site, model } = turn.upstream;
        tried.push({ provider: site.index, model });
        const startedAt = ctx.clock.now();
        const attempt = { ...turn, request, startedAt, reservation, failed };
        const { answer, failure } = await make(attempt);
        if (!failure) return answer;
        last = answer;
        if (!mayGoOn(failure)) break;
      }
    } catch (error) {
      books.release(reservation);
      throw error;
    }
    books.release(reservation);
    if (failed.execution) records.keep(request, failed.execution);
    if (last) return last;
    throw new AppError(
      "SERVICE_UNAVAILABLE",
      "No provider of the model can be reached at present.",
    );
  }

  /** `undefined` where there is another answer already, and no other way is open at once. */
  async function takeTurn(
    asking: Parameters<typeof turns.take>[0],
    last: LiveAnswer | undefined,
  ): Promise<Turn | undefined> {
    if (last && !turns.hasWay(asking)) return undefined;
    return turns.take(asking);
  }

  /** Makes a call, and hands on what is answered. With a `failure`, another provider may do better. */
  async function make(attempt: Attempt): Promise<{ answer: LiveAnswer; failure: Failure | null }> {
    const { request, upstream } = attempt;
    const abort = new AbortController();
    const leave = () => abort.abort(request.signal.reason);
    request.signal.addEventListener("abort", leave, { once: true });
    if (request.signal.aborted) leave();
    const cancel = ctx.clock.setTimeout(() => abort.abort(TIMED_OUT), ctx.config.requestTimeoutMs);
    const isOther = upstream.model !== request.model;
    const text = isOther ? withModel(request.text, upstream.model) : request.text;
    const changed = isOther ? [`model sent as ${upstream.model}`] : [];
    inFlight++;
    let passed: Passed;
    try {
      passed = await passageOf(attempt)({ endpoint: request.endpoint, text, signal: abort.signal });
      if (passed.kind === "refused") {
        end(attempt, passed, { answer: null, failure: passed.failure, response: null });
        return { answer: refused(attempt, passed, changed), failure: passed.failure };
      }
      if (isStream(passed.reply))
        return { answer: stream(attempt, passed, changed, cancel), failure: null };
      const said = await passed.reply.text();
      const heard = hearWhole(request.endpoint, said, passed.reply.url);
      const isMeasured = heard.failure !== null || heard.answer?.usage != null;
      const costUsd = isMeasured ? end(attempt, passed, heard) : null;
      if (!isMeasured) settle(attempt, passed, heard);
      const answer = { ...answerOf(attempt, passed, changed), body: said, costUsd };
      if (!heard.failure) return { answer, failure: null };
      const status = heard.failure.providerStatus ?? 502;
      return {
        answer: { ...answer, status: status >= 400 ? status : 502 },
        failure: heard.failure,
      };
    } catch (error) {
      if (request.signal.aborted) {
        end(attempt, null, "left");
        throw request.signal.reason;
      }
      const failure =
        abort.signal.reason === TIMED_OUT
          ? timedOut(ctx.config.requestTimeoutMs)
          : classifyThrown(error);
      end(attempt, null, { answer: null, failure, response: null });
      return { answer: unanswered(attempt, failure), failure };
    } finally {
      cancel();
    }
  }

  function stream(
    attempt: Attempt,
    passed: Passed & { kind: "reply" },
    changed: string[],
    cancel: () => void,
  ): LiveAnswer {
    cancel();
    const { endpoint } = attempt.request;
    const options = { endpoint, withoutUsage: passed.hasOwnUsage };
    const body = passed.reply.body ?? new Blob([]).stream();
    const pieces = passStream(body, options, (heard) => settle(attempt, passed, heard));
    const own = passed.hasOwnUsage ? [USAGE_ASKED] : [];
    return { ...answerOf(attempt, passed, [...changed, ...own]), body: pieces };
  }

  /** Ends a call whose answer is out, or on its way. */
  function settle(attempt: Attempt, passed: Passed, heard: Heard | "left"): void {
    const settling = async () => {
      const all = heard === "left" ? heard : await measured(attempt, heard);
      end(attempt, passed, all, { isLast: true });
    };
    background(getLogger(["gptrunner", "live"]), "Settling a live call", settling());
  }

  /** An answer that has no usage is counted here, in the thread that counts tokens. */
  async function measured({ request }: Attempt, heard: Heard): Promise<Heard> {
    const { answer } = heard;
    if (!answer || answer.usage) return heard;
    const { model, text } = request;
    const { content, reasoning, toolCalls } = answer;
    const said = [content, reasoning, toolCalls && JSON.stringify(toolCalls)];
    const input = said.filter((part) => part !== null).join("\n");
    const bodies = [text, ...(input === "" ? [] : [JSON.stringify({ input })])];
    const sizes = await ctx.tokens.measure(
      bodies.map((body) => ({ model, body })),
      SETTLING_MS,
    );
    const [promptTokens = 0, completionTokens = 0] = sizes.map((size) => size.promptTokens);
    const totalTokens = promptTokens + completionTokens;
    const usage = { promptTokens, completionTokens, totalTokens, estimated: true as const };
    return { ...heard, answer: { ...answer, usage } };
  }

  /** Tells pacer, breaker, books and traces how a call ended. Returns what it cost. */
  function end(
    attempt: Attempt,
    passed: Passed | null,
    heard: Heard | "left",
    { isLast } = { isLast: false },
  ): number | null {
    const { upstream, begun, ticket, request, startedAt, reservation } = attempt;
    const isAbandoned = heard === "left";
    const { answer, failure, response } = isAbandoned ? NOTHING : heard;
    const usage = answer?.usage ?? null;
    const at = ctx.clock.now();
    const { provider } = upstream.site;
    if (--inFlight === 0) onIdle?.();
    upstreams.end(begun, { failure, isAbandoned }, ctx.clock.steady());
    if (ticket)
      upstream.pacer.end(
        ticket,
        {
          outcome: isAbandoned ? "failed" : verdictOn(failure),
          signals: withAsked(passed?.signals ?? null, failure),
          usedTokens: usage && usage.promptTokens + usage.completionTokens,
        },
        ctx.clock.steady(),
      );
    const called = upstream.model;
    const serviceTier = answer?.serviceTier ?? null;
    const model = answer?.model ?? called;
    const costUsd =
      provider.kind === "simulator"
        ? 0
        : usage && costOfAnswer(provider, { called, model, usage, at, serviceTier });
    books.end({
      payer: request.caller.key,
      model: request.model,
      provider: provider.name,
      failure,
      startedAt,
      at,
      promptTokens: usage?.promptTokens ?? null,
      completionTokens: usage?.completionTokens ?? null,
      cachedTokens: usage?.cachedTokens ?? null,
      reasoningTokens: usage?.reasoningTokens ?? null,
      costUsd,
      // What is tried elsewhere keeps what was set aside for it.
      reservation: isLast || failure === null ? reservation : null,
    });
    if (request.taskId !== null && !isAbandoned) {
      const execution: LiveExecution = {
        status: failure ? "failed" : "completed",
        startedAt,
        at,
        provider: provider.name,
        model,
        fallbackFrom: called === request.model ? null : request.model,
        requestId: passed?.requestId ?? null,
        promptTokens: usage?.promptTokens ?? null,
        completionTokens: usage?.completionTokens ?? null,
        cachedTokens: usage?.cachedTokens ?? null,
        reasoningTokens: usage?.reasoningTokens ?? null,
        costUsd,
        isEstimated: usage?.estimated === true,
        isTruncated: answer !== null && isTruncated(answer),
        response,
        error: errorOf(failure),
        adjusted: passed?.adjusted ?? [],
      };
      // Another provider may still answer.
      if (failure && !isLast) attempt.failed.execution = execution;
      else records.keep(request, execution);
    }
    if (provider.maxConcurrency !== null) onFreed();
    return costUsd;
  }

  return {
    call: async (request: LiveRequest): Promise<LiveAnswer> => {
      if (isStopping)
        throw new AppError("SERVICE_UNAVAILABLE", "The server is shutting down", { retryAfter: 1 });
      if (inFlight + turns.waiting() >= ctx.config.liveMaxCalls)
        throw new AppError(
          "RATE_LIMIT_EXCEEDED",
          `This server has ${ctx.config.liveMaxCalls} calls under way (LIVE_MAX_CALLS); try again when some have ended`,
          { retryAfter: 1 },
        );
      const isStream = request.body["stream"] === true;
      const kept = request.usesCache && !isStream ? await records.find(request) : undefined;
      return kept ?? call(request);
    },
    inFlight: () => inFlight,
    start: books.start,
    /** Takes no more calls; those under way get `graceMs` to end. */
    async stop(graceMs: number): Promise<void> {
      isStopping = true;
      if (inFlight > 0)
        await new Promise<void>((resolve) => {
          const cancel = ctx.clock.setTimeout(resolve, graceMs);
          onIdle = () => {
            cancel();
            resolve();
          };
        });
      await books.stop();
    },
  };
}

const TIMED_OUT = "timed out";
const NOTHING: Heard = { answer: null, failure: null, response: null };

/** Whether another provider may answer what this one did not. */
function mayGoOn({ cause }: Failure): boolean {
  return looksDown(cause) || isWaiting(cause) || isHalt(cause) || cause === "bad_response";
}

function isStream(reply: Response): boolean {
  return /event-stream/i.test(reply.headers.get("content-type") ?? "");
}

function timedOut(ms: number): Failure {
  return {
    cause: "timeout",
    message: `The provider did not answer within ${ms} ms`,
    providerStatus: null,
    retryAfterMs: null,
    requestId: null,
  };
}

function answerOf({ upstream }: Attempt, passed: Passed & { kind: "reply" }, changed: string[]) {
  return {
    status: passed.reply.status,
    contentType: passed.reply.headers.get("content-type") ?? "application/json",
    provider: upstream.site.provider.name,
    adjusted: [...changed, ...passed.adjusted],
    requestId: passed.requestId,
    costUsd: null,
    retryAfterMs: null,
    isHopeless: false,
  };
}

/** A refusal, in the provider's own words, unless it is one of this server's key, which is no matter of the client's. */
function refused(
  { upstream }: Attempt,
  {
    status,
    text,
    contentType,
    failure,
    adjusted,
    requestId,
    signals,
  }: Passed & { kind: "refused" },
  changed: string[],
): LiveAnswer {
  const provider = upstream.site.provider.name;
  const isOfKey = failure.cause === "unauthorized" || failure.cause === "forbidden";
  const isHopeless = isHalt(failure.cause) || isOfKey;
  const common = {
    provider,
    adjusted: [...changed, ...adjusted],
    requestId,
    costUsd: null,
    retryAfterMs: failure.retryAfterMs ?? signals?.retryAfterMs ?? null,
    isHopeless,
  };
  if (isOfKey)
    return {
      ...common,
      status: 502,
      contentType: "application/json",
      body: errorText(
        `The provider ${provider} refuses the API key of this server.`,
        "provider_unauthorized",
      ),
    };
  return { ...common, status, contentType, body: text };
}

/** No answer came. */
function unanswered({ upstream }: Attempt, failure: Failure): LiveAnswer {
  const isLate = failure.cause === "timeout";
  return {
    status: isLate ? 504 : 502,
    contentType: "application/json",
    body: errorText(failure.message, isLate ? "provider_timeout" : "provider_unreachable"),
    provider: upstream.site.provider.name,
    adjusted: [],
    requestId: null,
    costUsd: null,
    retryAfterMs: null,
    isHopeless: false,
  };
}

function errorText(message: string, code: string): string {
  return JSON.stringify({ error: { message, type: "server_error", param: null, code } });
}

import { getLogger } from "@logtape/logtape";

import type { Context } from "../../context.ts";
import { isTruncated } from "../../domain/answer.ts";
import { isCounted } from "../../domain/request.ts";
import { background } from "../../lib/background.ts";
import type { Passed } from "../../providers/passage.ts";
import type { LiveRequest } from "../../services/live.ts";
import type { LiveExecution } from "../../store/live-tasks.ts";
import { operationOf, wordFor } from "../announce.ts";
import { costOfAnswer } from "../answer-cost.ts";
import { verdictOn, withAsked } from "../pacing.ts";
import type { Upstreams } from "../upstreams.ts";
import type { Heard } from "./answers.ts";
import type { createLiveBooks } from "./books.ts";
import { type createRecords, errorOf } from "./records.ts";
import type { Turn } from "./turns.ts";
import type { createUnderWay } from "./under-way.ts";
import type { Unmetered } from "./unmetered.ts";

/** The thread that counts takes seconds to start. */
const SETTLING_MS = 30_000;
/** A shorter wait while a client or the stop of the process waits; then the tokens are guessed from the length. */
const ANSWERING_MS = 1000;

/** An attempt at one provider. */
export type Attempt = Turn & {
  request: LiveRequest;
  startedAt: number;
  reservation: number | null;
  /** The execution of the last failed attempt, which another attempt may replace. */
  failed: { execution?: LiveExecution };
};

type EndingOptions = {
  upstreams: Upstreams;
  books: ReturnType<typeof createLiveBooks>;
  records: ReturnType<typeof createRecords>;
  unmetered: Unmetered;
  /** Called when a provider with a limit of concurrent calls has room again. */
  onFreed: () => void;
  underWay: ReturnType<typeof createUnderWay>;
};

/** Ends live calls: reports their results to pacer, breaker, books and records. Each is ended once. */
export function createEndings(
  ctx: Context,
  { upstreams, books, records, unmetered, onFreed, underWay }: EndingOptions,
) {
  /** Ends a call whose answer was sent or is being sent, or whose client has disconnected. */
  function settle(attempt: Attempt, passed: Passed | null, heard: Heard): void {
    const settling = async () => {
      end(attempt, passed, await measuredInTime(attempt, heard), { isLast: true });
    };
    background(getLogger(["gptrunner", "live"]), "Settling a live call", settling());
  }

  /**
   * Ends a call without an answer before its client learns that, because another provider may be tried next with the
   * same reservation. Returns the cost.
   */
  async function fail(attempt: Attempt, heard: Heard): Promise<number | null> {
    return end(attempt, null, await measured(attempt, heard, ANSWERING_MS));
  }

  /** If calls are cut off meanwhile, the stop of the process waits for the result. */
  async function measuredInTime(attempt: Attempt, heard: Heard): Promise<Heard> {
    const isKnown = heard.answer?.usage !== null;
    if (isKnown || underWay.isCutOff()) return measured(attempt, heard, ANSWERING_MS);
    const cutOff = Promise.withResolvers<void>();
    const withdraw = underWay.onCutOff(cutOff.resolve);
    try {
      return await Promise.race([
        measured(attempt, heard, SETTLING_MS),
        cutOff.promise.then(() => measured(attempt, heard, ANSWERING_MS)),
      ]);
    } finally {
      withdraw();
    }
  }

  /** Counts the tokens of an answer without usage, in the token thread. */
  async function measured({ request }: Attempt, heard: Heard, mostMs: number): Promise<Heard> {
    const { answer } = heard;
    if (!answer || answer.usage) return heard;
    const { model, text, endpoint } = request;
    const { content, reasoning, toolCalls } = answer;
    const said = isCounted(endpoint)
      ? [content, reasoning, toolCalls && JSON.stringify(toolCalls)]
      : [];
    const input = said.filter((part) => part !== null).join("\n");
    const bodies = [text, ...(input === "" ? [] : [JSON.stringify({ input })])];
    const sizes = await ctx.tokens.measure(
      bodies.map((body) => ({ model, body })),
      mostMs,
    );
    const [promptTokens = 0, completionTokens = 0] = sizes.map((size) => size.promptTokens);
    const totalTokens = promptTokens + completionTokens;
    const usage = { promptTokens, completionTokens, totalTokens, estimated: true as const };
    return { ...heard, answer: { ...answer, usage } };
  }

  /** Reports the end of a call to pacer, breaker, books and traces. Returns its cost. */
  function end(
    attempt: Attempt,
    passed: Passed | null,
    { answer, failure, response, isLeft }: Heard,
    { isLast } = { isLast: false },
  ): number | null {
    const { upstream, begun, ticket, request, startedAt, reservation } = attempt;
    const isAbandoned = isLeft === true;
    const usage = answer?.usage ?? null;
    const at = ctx.clock.now();
    const { provider } = upstream.site;
    underWay.end();
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
    const { endpoint } = request;
    const called = upstream.model;
    const serviceTier = answer?.serviceTier ?? null;
    const model = answer?.model ?? called;
    const costUsd =
      provider.kind === "simulator"
        ? 0
        : usage && costOfAnswer(provider, { endpoint, called, model, usage, at, serviceTier });
    if (usage?.estimated && costUsd === null)
      unmetered.add({ provider: upstream.site.index, model: called }, endpoint);
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
      // A call that is tried at another provider keeps its reservation.
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
    if (ctx.tracing.isOn)
      ctx.tracing.live({
        parent: request.trace,
        startedAt,
        endedAt: at,
        operation: operationOf(request.endpoint),
        provider: provider.name,
        model: called,
        answeredBy: answer?.model ?? null,
        requestId: passed?.requestId ?? null,
        promptTokens: usage?.promptTokens ?? null,
        completionTokens: usage?.completionTokens ?? null,
        error: isAbandoned ? "client_left" : wordFor(failure),
      });
    if (provider.maxConcurrency !== null) onFreed();
    return costUsd;
  }

  return { settle, fail, end };
}

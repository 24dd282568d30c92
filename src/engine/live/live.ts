import type { Context } from "../../context.ts";
import type { Failure } from "../../domain/failure.ts";
import { FLEX_TIMEOUT_MS, laneOfModel, tierOf } from "../../domain/flex.ts";
import type { Provider } from "../../domain/provider.ts";
import { withModel } from "../../domain/request.ts";
import { AppError } from "../../errors.ts";
import type { Cancel } from "../../lib/clock.ts";
import { type Adjustments, createAdjustments } from "../../providers/adjust.ts";
import { classifyThrown } from "../../providers/classify.ts";
import type { Outside } from "../../providers/outside.ts";
import { createPassage, type Passed } from "../../providers/passage.ts";
import { replyPieces, replyText } from "../../providers/reply-bytes.ts";
import type { LiveAnswer, LiveRequest } from "../../services/live.ts";
import type { Upstreams } from "../upstreams.ts";
import {
  failedUnanswered,
  type Heard,
  hearWhole,
  LEFT_UNSENT,
  leftUnanswered,
  passStream,
} from "./answers.ts";
import { createLiveBooks } from "./books.ts";
import { type Attempt, createEndings } from "./ending.ts";
import { createRecords } from "./records.ts";
import {
  answerOf,
  failedAnswer,
  isStream,
  mayGoOn,
  refused,
  stopped,
  timedOut,
  unanswered,
} from "./replies.ts";
import { createReserving } from "./reserving.ts";
import { type Asking, createTurns, type Turn } from "./turns.ts";
import { createUnderWay } from "./under-way.ts";
import { createUnmetered } from "./unmetered.ts";
import { watched } from "./watched.ts";

/** The longest wait for counting tokens. */
const COUNTING_MS = 200;
/** A client that reads nothing of a stream for this long counts as disconnected. */
const STALLED_MS = 300_000;
/** The time to count the costs of the calls that outlast the grace period of a stop. */
const CUT_OFF_MS = 2000;
const USAGE_ASKED = "stream_options.include_usage added";

export type LiveOptions = {
  upstreams: Upstreams;
  /** Whether this process still owns what it had at that time (monotonic). */
  isAlive: (since: number) => boolean;
  /** Called when a provider with a limit of concurrent calls has room again. */
  onFreed: () => void;
  outside: Outside;
};

/** The time limit of a call, and the means to end it earlier. */
type Timing = {
  timeOut: () => Cancel;
  whyAborted: () => Failure | undefined;
  /** Closes the connection to the provider. */
  abort: () => void;
};

/*
 * Live calls: a client waits for the answer. They run on the main thread, because their bytes pass through unread, and
 * a hop to a worker thread and back takes longer than everything else that one call needs. A call goes through these
 * states:
 *
 *   waiting    for money, if its key has a budget (`reserving.ts`), and for its turn at the pacer (`turns.ts`).
 *              If others may have ended its reservation by then, because this process seemed dead, it waits for money again.
 *   sent       once to each provider of the model, until one answers. The answer of the last provider is final.
 *   answered   whole, or as a stream. The pacer and the breaker learn its result, and the books its cost.
 *   left       by its client, or cut off because it outlasts the grace period of a stop. The connection to the provider
 *              is closed. What has arrived until then, and the prompt, are paid for.
 */
export function createLive(ctx: Context, { upstreams, isAlive, onFreed, outside }: LiveOptions) {
  const books = createLiveBooks(ctx, isAlive);
  const turns = createTurns(ctx, upstreams);
  const records = createRecords(ctx);
  const unmetered = createUnmetered();
  const reserving = createReserving(ctx, { upstreams, books, unmetered });
  const passages = new Map<string, ReturnType<typeof createPassage>>();
  const adjustments = new Map<Provider, Adjustments>();
  const underWay = createUnderWay(ctx.clock);
  let isStopping = false;
  /**
   * The port is open before the process has joined the others. A reservation from that time would end as one of a process
   * that is gone.
   */
  const opened = Promise.withResolvers<void>();
  const { settle, fail, end } = createEndings(ctx, {
    upstreams,
    books,
    records,
    unmetered,
    onFreed,
    underWay,
  });

  function requireRunning(): void {
    if (isStopping) throw shuttingDown();
  }

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

  async function call(request: LiveRequest): Promise<LiveAnswer> {
    const lane = laneOfModel(request.model, tierOf(request.body) === "flex");
    const tokens = await tokensOf(lane, request);
    let { reservation, barred: tried } = await reserving.reserve(lane, request);
    let last: LiveAnswer | undefined;
    const failed: Attempt["failed"] = {};
    let isSettling = false;
    try {
      for (;;) {
        const asking = { lane, tokens, tried, signal: request.signal };
        const turn = await takeTurn(asking, reservation, last);
        if (turn === "unpaid") {
          await books.giveUp(reservation);
          ({ reservation, barred: tried } = await reserving.reserve(lane, request));
          continue;
        }
        if (!turn) break;
        tried.push({ provider: turn.upstream.site.index, model: turn.upstream.model });
        const startedAt = ctx.clock.now();
        const attempt = { ...turn, request, startedAt, reservation, failed };
        const made = await make(attempt);
        isSettling = made === "left";
        if (made === "left") throw request.signal.aborted ? request.signal.reason : shuttingDown();
        if (!made.failure) return made.answer;
        last = made.answer;
        if (!mayGoOn(made.failure)) break;
      }
    } catch (error) {
      // The reservation of a call that its client left ends when its cost is known.
      if (!isSettling) books.release(reservation);
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

  /**
   * `unpaid` if the reservation is gone; `undefined` if there is another answer already, and no other route is open and
   * paid for at once. Throws if the server stops.
   */
  async function takeTurn(
    asking: Asking,
    reservation: number | null,
    last: LiveAnswer | undefined,
  ): Promise<Turn | "unpaid" | undefined> {
    const mayGo = () => !isStopping && books.isHeld(reservation);
    if (last && !(mayGo() && turns.hasWay(asking))) return undefined;
    requireRunning();
    const turn = await turns.take(asking);
    if (mayGo()) return turn;
    turns.giveBack(turn);
    onFreed();
    if (last) return undefined;
    requireRunning();
    return "unpaid";
  }

  /** Makes a call, and passes the answer on. With a `failure`, another provider may succeed. */
  async function make(
    attempt: Attempt,
  ): Promise<{ answer: LiveAnswer; failure: Failure | null } | "left"> {
    const { request, upstream } = attempt;
    const abort = new AbortController();
    const leave = () => abort.abort(request.signal.reason);
    request.signal.addEventListener("abort", leave, { once: true });
    const isSent = !request.signal.aborted;
    if (!isSent) leave();
    const timeoutMs =
      tierOf(request.body) === "flex" ? FLEX_TIMEOUT_MS : ctx.config.requestTimeoutMs;
    const timeOut = () => ctx.clock.setTimeout(() => abort.abort(TIMED_OUT), timeoutMs);
    const whyAborted = () => {
      if (underWay.isCutOff()) return stopped();
      return abort.signal.reason === TIMED_OUT ? timedOut(timeoutMs) : undefined;
    };
    const cancel = timeOut();
    const withdraw = underWay.onCutOff(leave);
    const isOther = upstream.model !== request.model;
    const text = isOther ? withModel(request.text, upstream.model) : request.text;
    const changed = isOther ? [`model sent as ${upstream.model}`] : [];
    underWay.begin();
    let passed: Passed;
    try {
      passed = await passageOf(attempt)({ endpoint: request.endpoint, text, signal: abort.signal });
      if (passed.kind === "refused") {
        end(attempt, passed, { answer: null, failure: passed.failure, response: null });
        return { answer: refused(attempt, passed, changed), failure: passed.failure };
      }
      if (isStream(passed.reply))
        return {
          answer: stream(attempt, passed, changed, { timeOut, whyAborted, abort: leave }),
          failure: null,
        };
      const said = await replyText(passed.reply);
      const heard = hearWhole(request.endpoint, said, passed.reply.url);
      const isMeasured = heard.failure !== null || heard.answer?.usage != null;
      const costUsd = isMeasured ? end(attempt, passed, heard) : null;
      if (!isMeasured) settle(attempt, passed, heard);
      const answer = { ...answerOf(attempt, passed, changed), body: said, costUsd };
      if (!heard.failure) return { answer, failure: null };
      return { answer: failedAnswer(answer, said, heard.failure), failure: heard.failure };
    } catch (error) {
      if (request.signal.aborted || underWay.isCutOff()) {
        settle(attempt, null, isSent ? leftUnanswered(request.endpoint) : LEFT_UNSENT);
        return "left";
      }
      const failure = whyAborted() ?? classifyThrown(error);
      const costUsd = await fail(attempt, failedUnanswered(request.endpoint, failure));
      return { answer: unanswered(attempt, failure, costUsd), failure };
    } finally {
      cancel();
      withdraw();
    }
  }

  /**
   * A stream ends once: by itself, when its client disconnects, or when one of the two sides is silent for too long.
   */
  function stream(
    attempt: Attempt,
    passed: Passed & { kind: "reply" },
    changed: string[],
    { timeOut, whyAborted, abort }: Timing,
  ): LiveAnswer {
    const { endpoint, signal } = attempt.request;
    let hasEnded = false;
    let withdraw = () => {};
    const endOnce = (heard: Heard) => {
      if (hasEnded) return;
      hasEnded = true;
      signal.removeEventListener("abort", leave);
      withdraw();
      settle(attempt, passed, heard);
    };
    const leave = () => {
      endOnce(left());
      abort();
    };
    const stalled = () => ctx.clock.setTimeout(leave, STALLED_MS);
    const body = replyPieces(passed.reply.body ?? new Blob([]).stream());
    const { pieces, left } = passStream(body, {
      endpoint,
      withoutUsage: passed.hasOwnUsage,
      whyAborted,
      onEnd: endOnce,
    });
    if (signal.aborted) leave();
    else {
      signal.addEventListener("abort", leave);
      withdraw = underWay.onCutOff(leave);
    }
    const own = passed.hasOwnUsage ? [USAGE_ASKED] : [];
    return {
      ...answerOf(attempt, passed, [...changed, ...own]),
      body: watched(pieces, { timeOut, stalled, leave }),
    };
  }

  return {
    call: async (request: LiveRequest): Promise<LiveAnswer> => {
      await opened.promise;
      requireRunning();
      if (underWay.sent() + turns.waiting() + reserving.waiting() >= ctx.config.liveMaxCalls)
        throw new AppError(
          "RATE_LIMIT_EXCEEDED",
          `This server has ${ctx.config.liveMaxCalls} calls in progress, its limit (LIVE_MAX_CALLS); try again when some have ended`,
          { retryAfter: 1 },
        );
      const isStream = request.body["stream"] === true;
      return underWay.whileAnswered(async () => {
        const kept = request.usesCache && !isStream ? await records.find(request) : undefined;
        return kept ?? call(request);
      });
    },
    inFlight: underWay.sent,
    async start(): Promise<void> {
      await books.start();
      opened.resolve();
    },
    /** Accepts no more calls, and refuses those that are not sent; those in flight get `graceMs` to end, and are cut off then. */
    async stop(graceMs: number): Promise<void> {
      const endsAt = ctx.clock.monotonic() + graceMs;
      isStopping = true;
      books.refuseWaiting(shuttingDown());
      turns.refuseWaiting(shuttingDown());
      await underWay.untilIdle(graceMs);
      underWay.cutOff();
      await underWay.untilIdle(CUT_OFF_MS);
      await books.stop(endsAt - ctx.clock.monotonic());
    },
  };
}

function shuttingDown(): AppError {
  return new AppError("SERVICE_UNAVAILABLE", "The server is shutting down", { retryAfter: 1 });
}

const TIMED_OUT = "timed out";

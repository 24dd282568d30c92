import type { Context } from "../../context.ts";
import type { Ticket } from "../../domain/pacer.ts";
import type { Route } from "../../domain/provider.ts";
import { AppError } from "../../errors.ts";
import type { Cancel } from "../../lib/clock.ts";
import { refusal } from "../../services/openai-refusal.ts";
import type { Upstream } from "../sites.ts";
import type { Begun, Choice, Upstreams } from "../upstreams.ts";

/** A call that may start now; the pacer counts it from now on. */
export type Turn = { upstream: Upstream; begun: Begun; ticket: Ticket | null };

export type Asking = {
  /** The model, with the mark of the flex tier. */
  lane: string;
  /** Its expected tokens, if they are counted. */
  tokens: number;
  /** The routes that were tried before. */
  tried: readonly Route[];
  signal: AbortSignal;
};

type Waiter = Asking & {
  since: number;
  resolve: (turn: Turn) => void;
  reject: (error: unknown) => void;
};

type Line = { waiters: Waiter[]; held: Upstream | null; cancel: Cancel | undefined };

/** How often to check if the time at which a call may start is unknown. */
const LOOK_MS = 10;
const MINUTE_MS = 60_000;

/*
 * Live calls take turns with the calls of batches at the same pacers, and go before them. A call
 *
 *   starts   at once if its route is open and no other call waits for the same model.
 *   waits    in a queue for its model. Batches leave the room that waiting calls need. The first of the queue
 *            starts as soon as it may.
 *   is refused  with 429 if it would wait longer than LIVE_MAX_WAIT_MS, as far as the pacer knows, or has done so; with 503
 *            if no provider can be reached, or the server stops.
 *   leaves   when its client disconnects.
 */
export function createTurns(
  { clock, config }: Pick<Context, "clock" | "config">,
  upstreams: Upstreams,
) {
  const lines = new Map<string, Line>();
  let calls = 0;

  function start(upstream: Upstream, tokens: number): Turn {
    const now = clock.steady();
    const ticket = upstream.site.isPaced
      ? upstream.pacer.start(upstream.pacer.limitsTokens() ? tokens : 0, now)
      : null;
    // Negative, because tasks have positive numbers.
    return { upstream, begun: upstreams.begin(upstream, -++calls, true), ticket };
  }

  /** Makes batches leave the room that waiting calls need, and releases what was reserved before. */
  function hold(line: Line, upstream: Upstream | null): void {
    const count = line.waiters.length;
    if (line.held) {
      line.held.waiting = 0;
      line.held.site.waiting = 0;
    }
    line.held = count === 0 ? null : upstream;
    if (line.held) {
      line.held.waiting = count;
      line.held.site.waiting = count;
    }
  }

  function leave(name: string, line: Line, waiter: Waiter): void {
    const place = line.waiters.indexOf(waiter);
    // It has had its turn, or was refused; other calls may have made a new queue since.
    if (place < 0) return;
    line.waiters.splice(place, 1);
    if (line.waiters.length > 0) return;
    line.cancel?.();
    hold(line, null);
    lines.delete(name);
  }

  /** Starts the calls of a queue that may start, and schedules the next check. */
  function serve(name: string, line: Line): void {
    line.cancel?.();
    for (let waiter = line.waiters[0]; waiter; waiter = line.waiters[0]) {
      const now = clock.steady();
      const choice = upstreams.choose(waiter.lane, now, waiter.tried);
      if (choice.upstream && isOpen(choice, waiter.tokens, now)) {
        leave(name, line, waiter);
        waiter.resolve(start(choice.upstream, waiter.tokens));
        continue;
      }
      const wait = waitFor(choice, waiter.tokens, now);
      if (now - waiter.since + wait > config.liveMaxWaitMs) {
        leave(name, line, waiter);
        waiter.reject(choice.upstream ? tooLong(wait) : unreachable(waiter.lane, wait));
        continue;
      }
      hold(line, choice.upstream);
      line.cancel = clock.setTimeout(() => serve(name, line), Math.max(1, Math.min(wait, LOOK_MS)));
      return;
    }
  }

  return {
    /** The upstream that a call for a model would use now. */
    peek: (lane: string) => upstreams.choose(lane, clock.steady(), []).upstream,

    /** Whether there is an untried route that a call can take at once. */
    hasWay({ lane, tokens, tried }: Asking): boolean {
      const now = clock.steady();
      return isOpen(upstreams.choose(lane, now, tried), tokens, now);
    },

    /** Resolves when a call may start. */
    async take(asking: Asking): Promise<Turn> {
      const { lane, tokens, tried, signal } = asking;
      const now = clock.steady();
      const line = lines.get(lane);
      const choice = upstreams.choose(lane, now, tried);
      if (!line && choice.upstream && isOpen(choice, tokens, now))
        return start(choice.upstream, tokens);
      const wait = waitFor(choice, tokens, now) + waitBehind(choice, line?.waiters.length ?? 0);
      if (wait > config.liveMaxWaitMs)
        throw choice.upstream ? tooLong(wait) : unreachable(lane, wait);
      return new Promise<Turn>((resolve, reject) => {
        const own = line ?? { waiters: [], held: null, cancel: undefined };
        lines.set(lane, own);
        const waiter = { ...asking, since: now, resolve, reject };
        own.waiters.push(waiter);
        signal.addEventListener("abort", () => {
          leave(lane, own, waiter);
          reject(signal.reason);
        });
        serve(lane, own);
      });
    },
    /** Ends the turn of a call that is not sent. */
    giveBack({ upstream, begun, ticket }: Turn): void {
      const now = clock.steady();
      upstreams.end(begun, { failure: null, isAbandoned: true }, now);
      if (ticket)
        upstream.pacer.end(ticket, { outcome: "failed", signals: null, usedTokens: 0 }, now);
    },
    /** Refuses the calls that wait. */
    refuseWaiting(why: AppError): void {
      for (const [name, line] of lines)
        for (let waiter = line.waiters[0]; waiter; waiter = line.waiters[0]) {
          leave(name, line, waiter);
          waiter.reject(why);
        }
    },
    waiting: () => [...lines.values()].reduce((sum, { waiters }) => sum + waiters.length, 0),
  };
}

function isOpen({ upstream, gates }: Choice, tokens: number, now: number): boolean {
  if (!upstream || gates.some(({ room }) => room < 1)) return false;
  const { pacer, site } = upstream;
  if (!site.isPaced) return true;
  return pacer.room(now) >= 1 && (!pacer.limitsTokens() || pacer.fitsTokens(tokens, now));
}

function waitFor({ upstream, until }: Choice, tokens: number, now: number): number {
  if (!upstream) return Math.max(0, until - now);
  return upstream.site.isPaced ? Math.max(0, upstream.pacer.whenRoom(tokens, now) - now) : 0;
}

/** The least time that the calls before it need, if a limit of requests is known. */
function waitBehind({ upstream }: Choice, others: number): number {
  const rpm = upstream?.pacer.limits().rpm ?? null;
  return rpm === null ? 0 : (others * MINUTE_MS) / rpm;
}

function tooLong(waitMs: number): AppError {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new AppError(
    "RATE_LIMIT_EXCEEDED",
    `The provider's rate limit leaves no room for another call for about ${seconds} s. Please try again then.`,
    { retryAfter: seconds },
  );
}

function unreachable(lane: string, waitMs: number): AppError {
  if (waitMs === Infinity)
    return refusal("SERVICE_UNAVAILABLE", `No provider takes the model ${JSON.stringify(lane)}.`);
  return new AppError(
    "SERVICE_UNAVAILABLE",
    "No provider of the model can be reached at present.",
    {
      retryAfter: Math.max(1, Math.ceil(waitMs / 1000)),
    },
  );
}

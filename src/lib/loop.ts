import type { Logger } from "@logtape/logtape";

import type { Cancel, Clock } from "./clock.ts";
import { workForNobody } from "./leaving.ts";
import { isLoggedElsewhere } from "./logged-error.ts";

export type Loop = {
  /** From now on it can be nudged, and works after its backstop at the latest. */
  start(): void;
  /**
   * Works at once, or after `inMs`, from a timer even if that is 0; sooner if it was to work sooner
   * anyway. Does nothing unless the loop is started.
   */
  nudge(inMs?: number): void;
  /** Works at once, after a failure, too; resolves when work that began after this call has ended, well or not. */
  look(): Promise<void>;
  /** Stops working until it is started again; resolves when the current work has ended. */
  stop(): Promise<void>;
  /** How long its work has been failing, and with which error last; `null` if it is not failing. */
  trouble(): Trouble | null;
};

export type Trouble = { complaint: string; error: unknown; forMs: number };

export type LoopOptions = {
  log: Pick<Logger, "error" | "info" | "debug">;
  /** The log message when work fails, a sentence without its full stop: "The queue could not be read". */
  complaint: string;
  clock: Pick<Clock, "monotonic" | "setTimeout">;
  /** Does the work that is due. May return after how many ms more work is due, if that is before the backstop. */
  work: () => Promise<More | void>;
  /** Works again after this long without a nudge. If absent, the loop waits for nudges. */
  backstopMs?: number;
  /** The least time between two runs that nudges cause, so that work that arrives meanwhile is done together. */
  pauseMs?: () => number;
  /** The delay after a first failure; it doubles with each further one in a row. */
  retryMs?: number;
  maxRetryMs?: number;
};

export type More = { inMs: number };

const RETRY_MS = 1000;
const MAX_RETRY_MS = 5000;
const SAY_EVERY_MS = 60_000;
/**
 * The longest timer, because timers of more than 24 days fire at once. A timer that fires early costs one check too
 * many.
 */
const LONGEST_MS = 60_000;

/*
 * Drives a part that lives as long as the process. It never works twice at once.
 *
 *   stopped   at first, and after `stop`. Nudges do nothing. Left by `start`.
 *   idle      a timer is armed for the next work: the soonest of what the last work asked for, the
 *             nudges since then and the backstop. Left by the timer, or by a nudge at once where the
 *             pause since the last work is over; otherwise the timer is armed for its end.
 *   working   nudges that come meanwhile lead to more work.
 *   failing   the last work failed, which was logged, once a minute at most. A timer is armed for the next attempt. Nudges
 *             wait for it, as they would undo the backoff; only `look` does not. Left, when the
 *             attempt succeeds, for idle.
 *
 * Stopped while it works, it ends this work and no more. Started again meanwhile, it goes on as if it
 * had not been stopped.
 */
export function createLoop(options: LoopOptions): Loop {
  const { log, complaint, clock, work, backstopMs = Infinity, pauseMs = () => 0 } = options;
  const { retryMs = RETRY_MS, maxRetryMs = MAX_RETRY_MS } = options;
  let isStarted = false;
  let isWorking = false;
  let turn = Promise.resolve();
  let looking: Promise<void> | undefined;
  let failures = 0;
  let lastError: unknown;
  let failsSince = 0;
  let saidAt = -Infinity;
  let endedAt = -Infinity;
  /** When it is to work next, on the monotonic clock; -Infinity: as soon as it may. */
  let dueAt = Infinity;
  let cancelTimer: Cancel | undefined;

  function begin(): void {
    disarm();
    isWorking = true;
    turn = takeTurn();
  }

  async function takeTurn(): Promise<void> {
    let inMs = Infinity;
    try {
      inMs = (await workForNobody(work))?.inMs ?? Infinity;
      if (failures > 0) sayWell();
      failures = 0;
    } catch (error) {
      if (failures++ === 0) failsSince = clock.monotonic();
      lastError = error;
      inMs = backoffMs();
      sayIll(error, inMs);
    }
    isWorking = false;
    endedAt = clock.monotonic();
    if (!isStarted) return;
    dueAt = Math.min(dueAt, endedAt + Math.max(0, Math.min(inMs, backstopMs)));
    if (dueAt === -Infinity && restMs() <= 0) begin();
    else arm();
  }

  /** Logs the first failure, and then one a minute, as errors; others at level `debug`. */
  function sayIll(error: unknown, inMs: number): void {
    const now = clock.monotonic();
    const isNews = !isLoggedElsewhere(error) && now - saidAt >= SAY_EVERY_MS;
    if (isNews) saidAt = now;
    const facts = { complaint, inMs: Math.round(inMs), error, failures };
    log[isNews ? "error" : "debug"]("{complaint}; trying again in {inMs} ms: {error}", facts);
  }

  function sayWell(): void {
    const facts = { complaint, failures, ms: Math.round(clock.monotonic() - failsSince) };
    // If the failure was logged, its end is logged, too.
    const level = saidAt === -Infinity ? "debug" : "info";
    saidAt = -Infinity;
    log[level]("{complaint}, {failures} times in {ms} ms; it works again", facts);
  }

  function backoffMs(): number {
    return Math.min(maxRetryMs, retryMs * 2 ** (failures - 1));
  }

  /** How long the pause lasts until it may work again. */
  function restMs(): number {
    return endedAt + (failures > 0 ? backoffMs() : pauseMs()) - clock.monotonic();
  }

  function arm(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    if (dueAt === Infinity) return;
    const ms = Math.max(0, dueAt - clock.monotonic(), restMs());
    cancelTimer = clock.setTimeout(begin, Math.min(Math.round(ms), LONGEST_MS));
  }

  function disarm(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    dueAt = Infinity;
  }

  function lookAgain(): Promise<void> {
    looking = undefined;
    if (isStarted && !isWorking) begin();
    return turn;
  }

  return {
    start() {
      if (isStarted) return;
      isStarted = true;
      if (isWorking) return;
      dueAt = clock.monotonic() + backstopMs;
      arm();
    },
    nudge(inMs) {
      if (!isStarted) return;
      const at = inMs === undefined ? -Infinity : clock.monotonic() + inMs;
      if (at >= dueAt) return;
      if (!isWorking && inMs === undefined && restMs() <= 0) return begin();
      dueAt = at;
      if (!isWorking) arm();
    },
    look() {
      if (!isStarted) return Promise.resolve();
      if (!isWorking) {
        begin();
        return turn;
      }
      return (looking ??= turn.then(lookAgain));
    },
    async stop() {
      isStarted = false;
      disarm();
      await turn;
    },
    trouble: () =>
      failures === 0
        ? null
        : { complaint, error: lastError, forMs: clock.monotonic() - failsSince },
  };
}

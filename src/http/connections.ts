import type { Context } from "hono";

import type { Config } from "../config.ts";
import { AppError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { type Caller, keyEnded } from "../services/caller.ts";
import type { KeyWatch } from "../services/key-watch.ts";
import type { AppEnv } from "./router.ts";
import { untilAborted } from "./stream.ts";

type Kind = "stream" | "wait" | "transfer" | "call";

/** A connection that is held open for a caller. */
export type Held = {
  /** Aborts when the caller's key is no longer valid. */
  signal: AbortSignal;
  /** Must be called when the connection ends, for whatever reason; a second call does nothing. */
  release(): void;
};

export type Connections = {
  /** Counts one more connection of the caller's key; `undefined` if the key has reached its limit. */
  hold(caller: Caller, kind: Kind): Held | undefined;
  /** Counts a request as open, until the returned function is called. */
  enter(): () => void;
  /** How many requests and streams are open. */
  open(): number;
};

type Limits = Pick<Config, "maxStreamsPerKey" | "maxWaitsPerKey" | "liveMaxCallsPerKey">;

/** Live calls are watched only after this time. Most have ended by then and never need a watch. */
const CALL_WATCHED_MS = 100;

/**
 * Counts the open connections of each key in this process, so that no key can use all of them, and ends them with the
 * key.
 */
export function createConnections(
  { config, clock }: { config: Limits; clock: Pick<Clock, "setTimeout"> },
  keys: Pick<KeyWatch, "watch">,
): Connections {
  const limits = {
    stream: config.maxStreamsPerKey,
    wait: config.maxWaitsPerKey,
    transfer: 0,
    call: config.liveMaxCallsPerKey,
  };
  let requests = 0;
  let streams = 0;
  const open: Record<Kind, Map<number, number>> = {
    stream: new Map(),
    wait: new Map(),
    transfer: new Map(),
    call: new Map(),
  };

  function watch(caller: Caller, kind: Kind, onEnd: () => void): () => void {
    if (kind !== "call") return keys.watch(caller, onEnd);
    let unwatch = clock.setTimeout(() => {
      unwatch = keys.watch(caller, onEnd, { isLate: true });
    }, CALL_WATCHED_MS);
    return () => unwatch();
  }

  return {
    enter() {
      requests++;
      return () => requests--;
    },
    open: () => requests + streams,
    hold(caller, kind) {
      const { key } = caller;
      const held = open[kind];
      const count = held.get(key) ?? 0;
      if (limits[kind] > 0 && count >= limits[kind]) return undefined;
      held.set(key, count + 1);
      if (kind === "stream") streams++;
      const ended = new AbortController();
      const unwatch = watch(caller, kind, () => ended.abort());
      let isHeld = true;
      return {
        signal: ended.signal,
        release() {
          if (!isHeld) return;
          isHeld = false;
          unwatch();
          if (kind === "stream") streams--;
          const left = (held.get(key) ?? 1) - 1;
          if (left === 0) held.delete(key);
          else held.set(key, left);
        },
      };
    },
  };
}

/**
 * Counts this request as an event stream of its caller's API key. Throws `RATE_LIMIT_EXCEEDED`, so a
 * route that uses it lists 429.
 */
export function holdStream(c: Context<AppEnv>): Held {
  const held = c.var.connections.hold(c.var.caller, "stream");
  if (held) return held;
  throw new AppError(
    "RATE_LIMIT_EXCEEDED",
    `This API key has ${c.var.ctx.config.maxStreamsPerKey} event streams open (MAX_STREAMS_PER_KEY); close one first`,
  );
}

/**
 * Holds the request open while `wait` runs. The signal aborts `wait` when the client disconnects or its key is no
 * longer valid; in the latter case this throws `UNAUTHORIZED`. If the key has reached its limit of waiting requests,
 * returns `undefined` at once: a preference need not be honoured (RFC 7240).
 */
export async function holdWait<T>(
  c: Context<AppEnv>,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const held = c.var.connections.hold(c.var.caller, "wait");
  if (!held) return undefined;
  try {
    const answer = await wait(AbortSignal.any([held.signal, c.req.raw.signal]));
    if (!held.signal.aborted) return answer;
    throw keyEnded();
  } finally {
    held.release();
  }
}

/**
 * Counts this request as a live call of its caller's API key. Throws `RATE_LIMIT_EXCEEDED` if the key has reached its
 * limit. The count ends with the connection at the latest.
 */
export function holdCall(c: Context<AppEnv>): Held {
  const held = c.get("connections").hold(c.get("caller"), "call");
  if (!held)
    throw new AppError(
      "RATE_LIMIT_EXCEEDED",
      `This API key has ${c.var.ctx.config.liveMaxCallsPerKey} calls in progress, its limit (LIVE_MAX_CALLS_PER_KEY); try again when some have ended`,
      { retryAfter: 1 },
    );
  c.req.raw.signal.addEventListener("abort", held.release, { once: true });
  return held;
}

/** Passes a stream on as long as the caller's key is valid, and throws `UNAUTHORIZED` when it no longer is. */
export async function* whileKeyValid(
  c: Context<AppEnv>,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const held = c.get("connections").hold(c.get("caller"), "transfer");
  yield* held ? whileHeld(held, pieces) : pieces;
}

/** Passes a stream on until it ends, or until what holds it open ends. Throws `UNAUTHORIZED` then. */
export async function* whileHeld(
  { signal, release }: Held,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* untilAborted(signal, pieces, keyEnded);
  } finally {
    release();
  }
}

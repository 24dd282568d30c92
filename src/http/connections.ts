import type { Context } from "hono";

import type { Config } from "../config.ts";
import { AppError } from "../errors.ts";
import { type Caller, keyEnded } from "../services/caller.ts";
import type { KeyWatch } from "../services/key-watch.ts";
import type { AppEnv } from "./router.ts";

type Kind = "stream" | "wait" | "transfer";

/** A connection that is held open for a caller. */
export type Held = {
  /** Aborts when the caller's key is no longer valid. */
  signal: AbortSignal;
  /** Call it when the connection ends, however that comes; a second call does nothing. */
  release(): void;
};

export type Connections = {
  /** Counts one more connection of the caller's key; `undefined` where the key has as many as it may. */
  hold(caller: Caller, kind: Kind): Held | undefined;
  /** Counts a request as open, until what it returns is called. */
  enter(): () => void;
  /** How many requests and streams are open. */
  open(): number;
};

type Limits = Pick<Config, "maxStreamsPerKey" | "maxWaitsPerKey">;

/** Counts what each key holds open in this process, so that no key holds all there is, and ends it with the key. */
export function createConnections(
  { maxStreamsPerKey, maxWaitsPerKey }: Limits,
  keys: Pick<KeyWatch, "watch">,
): Connections {
  const limits = { stream: maxStreamsPerKey, wait: maxWaitsPerKey, transfer: 0 };
  let requests = 0;
  let streams = 0;
  const open: Record<Kind, Map<number, number>> = {
    stream: new Map(),
    wait: new Map(),
    transfer: new Map(),
  };
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
      const unwatch = keys.watch(caller, () => ended.abort());
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
 * Holds the request open for as long as `wait` takes, which ends early where its signal aborts: when
 * the client has left or its key is no longer valid, of which the latter throws `UNAUTHORIZED`. Where
 * the key has as many waiting requests as it may, gives `undefined` at once: a preference need not be
 * honoured (RFC 7240).
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

/** What is sent or arrives piece by piece, for as long as the caller's key is valid. Throws `UNAUTHORIZED` then. */
export async function* whileKeyValid(
  c: Context<AppEnv>,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const held = c.get("connections").hold(c.get("caller"), "transfer");
  try {
    for await (const piece of pieces) {
      if (held?.signal.aborted) throw keyEnded();
      yield piece;
    }
  } finally {
    held?.release();
  }
}

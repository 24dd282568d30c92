import type { Context } from "hono";

import type { Config } from "../config.ts";
import { AppError } from "../errors.ts";
import type { AppEnv } from "./router.ts";

type Kind = "stream" | "wait";

export type Connections = {
  /** Counts one more connection of a key, until what it returns is called; `undefined` where the key has as many as it may. */
  hold(key: number, kind: Kind): (() => void) | undefined;
  /** Counts a request as open, until what it returns is called. */
  enter(): () => void;
  /** How many requests and streams are open. */
  open(): number;
};

type Limits = Pick<Config, "maxStreamsPerKey" | "maxWaitsPerKey">;

/** Counts what each key holds open in this process, so that no key holds all there is. */
export function createConnections({ maxStreamsPerKey, maxWaitsPerKey }: Limits): Connections {
  const limits = { stream: maxStreamsPerKey, wait: maxWaitsPerKey };
  let requests = 0;
  let streams = 0;
  const open = { stream: new Map<number, number>(), wait: new Map<number, number>() };
  return {
    enter() {
      requests++;
      return () => requests--;
    },
    open: () => requests + streams,
    hold(key, kind) {
      const held = open[kind];
      const count = held.get(key) ?? 0;
      if (limits[kind] > 0 && count >= limits[kind]) return undefined;
      held.set(key, count + 1);
      if (kind === "stream") streams++;
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        if (kind === "stream") streams--;
        const left = (held.get(key) ?? 1) - 1;
        if (left === 0) held.delete(key);
        else held.set(key, left);
      };
    },
  };
}

/**
 * Counts this request as an event stream of its caller's API key. Call what it returns when the
 * stream ends, however that comes; a second call does nothing. Throws `RATE_LIMIT_EXCEEDED`, so a
 * route that uses it lists 429.
 */
export function holdStream(c: Context<AppEnv>): () => void {
  const release = c.var.connections.hold(c.var.caller.key, "stream");
  if (release) return release;
  throw new AppError(
    "RATE_LIMIT_EXCEEDED",
    `This API key has ${c.var.ctx.config.maxStreamsPerKey} event streams open (MAX_STREAMS_PER_KEY); close one first`,
  );
}

/**
 * Holds the request open for as long as `wait` takes. Where the key has as many waiting requests as
 * it may, gives `undefined` at once: a preference need not be honoured (RFC 7240).
 */
export async function holdWait<T>(
  c: Context<AppEnv>,
  wait: () => Promise<T>,
): Promise<T | undefined> {
  const release = c.var.connections.hold(c.var.caller.key, "wait");
  if (!release) return undefined;
  try {
    return await wait();
  } finally {
    release();
  }
}

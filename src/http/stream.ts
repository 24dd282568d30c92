import { getLogger } from "@logtape/logtape";
import type { Context } from "hono";

import { AppError } from "../errors.ts";
import { logError } from "../lib/logged-error.ts";
import { methodOf } from "./head.ts";
import type { AppEnv } from "./router.ts";

/** A lazy body: `pieces` does nothing before the reader reads. */
export function toByteStream(pieces: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Passes the pieces of an answer on. If they break off, the client only learns that the connection ended, because the
 * status was sent before. So the error is logged, except if the client has left, or its key is no longer valid.
 */
export async function* whileLogged(
  c: Context<AppEnv>,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (!(error instanceof AppError) && !c.req.raw.signal.aborted)
      logError(getLogger(["gptrunner", "http"]), "{method} {path} broke off: {error}", {
        method: methodOf(c),
        path: c.req.path,
        requestId: c.var.requestId,
        error,
      });
    throw error;
  }
}

/** Passes pieces on until `signal` aborts, also while the next piece is awaited. Throws `why()` then. */
export async function* untilAborted<Piece>(
  signal: AbortSignal,
  pieces: AsyncIterable<Piece>,
  why: () => Error,
): AsyncGenerator<Piece> {
  const iterator = pieces[Symbol.asyncIterator]();
  let refuse: ((error: Error) => void) | undefined;
  const onAbort = () => refuse?.(why());
  signal.addEventListener("abort", onAbort, { once: true });
  // `Promise.race` would keep each piece in memory until the signal aborts.
  const next = () =>
    new Promise<IteratorResult<Piece>>((resolve, reject) => {
      refuse = reject;
      iterator.next().then(resolve, reject);
    });
  try {
    for (;;) {
      if (signal.aborted) throw why();
      const { value, done } = await next();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    const closing = iterator.return?.();
    // A generator that waits for its next piece closes only after it, and no caller is left to get its error.
    if (signal.aborted) closing?.catch(() => undefined);
    else await closing;
  }
}

/** Encodes pieces of text or bytes as bytes. */
export async function* toBytes(
  pieces: AsyncIterable<string | Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const piece of pieces) yield typeof piece === "string" ? encoder.encode(piece) : piece;
}

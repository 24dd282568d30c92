import { EventSourceParserStream } from "eventsource-parser/stream";
import { z } from "zod";

import { pathOf, refusedWith } from "./rest.ts";
import type { World } from "./tool.ts";

/** Most clients end a call after 60 seconds. */
const LONGEST_WAIT_SECONDS = 50;

/** The argument of tools that wait. */
export function waitSeconds(usual: number) {
  return z
    .number()
    .int()
    .min(0)
    .max(LONGEST_WAIT_SECONDS)
    .default(usual)
    .describe(
      `How long to wait for the end, in seconds (${usual} unless given). If it has not ended by then, ` +
        "the answer says how to ask again; nothing is lost",
    );
}

/** The events after which nothing more happens by itself. */
const ENDINGS = /^(batch|task)\.(completed|failed|cancelled|paused)$/;

/**
 * Waits until something has ended or was paused, for `seconds` at most, on its event stream, which is one request
 * however long it takes. `isOver` is called once the stream is open, so that no end is missed.
 */
export async function waitForEnd(
  { rest, clock, signal }: World,
  kind: "batches" | "tasks",
  id: string,
  { seconds, isOver }: { seconds: number; isOver: () => Promise<boolean> },
): Promise<void> {
  if (seconds === 0 || (await isOver())) return;
  const late = new AbortController();
  const cancel = clock.setTimeout(() => late.abort(), seconds * 1000);
  const ending = AbortSignal.any([late.signal, signal]);
  try {
    const types = kind === "batches" ? "batch.*" : "task.*";
    const query = { types, since: "now" };
    const { status, body } = await rest.open(pathOf(kind, id, "/events"), {
      query,
      signal: ending,
    });
    if (status === 204 || body === null) return;
    const events = body
      .pipeThrough(new TextDecoderStream(), { signal: ending })
      .pipeThrough(new EventSourceParserStream());
    if (await isOver()) return;
    for await (const { event = "" } of events) if (ENDINGS.test(event)) return;
  } catch (error) {
    signal.throwIfAborted();
    if (late.signal.aborted) return;
    // The key may have reached its limit of streams; then there is no wait, and the answer says how to ask again.
    if (!refusedWith(error, "RATE_LIMIT_EXCEEDED", "UNAVAILABLE")) throw error;
  } finally {
    late.abort();
    cancel();
  }
}

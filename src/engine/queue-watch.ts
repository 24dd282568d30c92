import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop, type Loop, type More } from "../lib/loop.ts";
import { leaveFlex } from "../store/flex.ts";
import { QUEUE_STATE, type QueueState, queueStateOf } from "../store/queue-state.ts";
import { NEXT_WAITING, wakeWaiting } from "../store/queue.ts";

type QueueWatchOptions = {
  /** The steady clock by which retries come due. */
  now: () => number;
  onRead: (state: QueueState) => void;
};

/** Backstop for lost hints. */
const SYNC_MS = 2000;
/**
 * The pause between two reads of the queue is a multiple of the time that one takes, so that changes of many batches
 * share one read. A read counts as at least `msPerRow` for each batch and lane that it finds, since handling these rows
 * blocks the event loop.
 */
const LOOK_PAUSE = { times: 5, mostMs: 250, msPerRow: 0.01 };
/** How soon the loops of the dispatcher work again after a failure. */
export const RETRY = { retryMs: 250, maxRetryMs: 2000 };

/**
 * Reads the queue after its backstop, when a nudge says that a batch has changed, and when a retry comes due: makes due
 * retries ready, and passes the state of the queue to `onRead`.
 */
export function createQueueWatch(ctx: Context, { now, onRead }: QueueWatchOptions): Loop {
  const { clock, writer } = ctx;
  /** The duration of the last read of the queue. */
  let lookMs = 0;

  async function read(): Promise<More | void> {
    const begun = clock.monotonic();
    const { state, waiting } = await writer.write({
      woken: wakeWaiting(now()),
      fallen: leaveFlex(now()),
      state: QUEUE_STATE,
      waiting: NEXT_WAITING,
    });
    const next = waiting.rows[0]?.at;
    const found = queueStateOf(state.rows[0]);
    onRead(found);
    const foundRows = found.running.length + found.ready.length;
    lookMs = Math.max(clock.monotonic() - begun, foundRows * LOOK_PAUSE.msPerRow);
    if (next !== null && next !== undefined) return { inMs: next - now() };
  }

  return createLoop({
    log: getLogger(["gptrunner", "dispatcher"]),
    complaint: "The queue could not be read",
    clock,
    work: read,
    backstopMs: SYNC_MS,
    pauseMs: () => Math.min(LOOK_PAUSE.mostMs, lookMs * LOOK_PAUSE.times),
    ...RETRY,
  });
}

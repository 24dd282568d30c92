// The stream of events, and what is polled. Events are collected and handed on at
// most four times a second, so that a thousand a second cost no more than a few.

import { addressOf, call, session } from "./api.js";

const FLUSH_MS = 250;
const LONGEST_WAIT_MS = 15_000;
/** Not the starts and ends of tasks: sums of these come with their batch's progress. */
const TYPES =
  "batch.*,task.failed,task.completed,task.started,task.cancelled,scheduled_task.*,system.*";

/** Follows all events. `onState` gets `live`, `down` or `stopped`; `onEvents` a list of `{type, data}`. */
export function follow({ onEvents, onState }) {
  let source;
  let last;
  let waitMs = 500;
  let isStopped = false;
  let collected = [];
  let timer;

  function flush() {
    timer = undefined;
    const events = collected;
    collected = [];
    onEvents(events);
  }

  function take(event) {
    if (event.lastEventId) last = event.lastEventId;
    collected.push(event.data);
    timer ??= setTimeout(flush, FLUSH_MS);
  }

  async function open() {
    try {
      const { token } = await call("POST", "/events/token");
      if (isStopped) return;
      const since = last ?? "now";
      source = new EventSource(
        addressOf(
          `/events?types=${TYPES}&since=${since}&access_token=${encodeURIComponent(token)}`,
        ),
      );
    } catch (error) {
      if (error.status === 401 && !error.isOfOtherKey) return onState("stopped");
      return later();
    }
    source.addEventListener("open", () => {
      waitMs = 500;
      onState("live");
    });
    source.addEventListener("error", later);
    for (const type of EVENT_TYPES) source.addEventListener(type, take);
  }

  /** A token opens a stream for a minute only, so that the browser's own reconnecting will not do. */
  function later() {
    source?.close();
    if (isStopped) return;
    onState("down");
    setTimeout(open, waitMs);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }

  void open();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    source?.close();
  };
}

const EVENT_TYPES = [
  "batch.created",
  "batch.started",
  "batch.progress",
  "batch.paused",
  "batch.resumed",
  "batch.completed",
  "batch.failed",
  "batch.cancelled",
  "task.started",
  "task.completed",
  "task.failed",
  "task.cancelled",
  "scheduled_task.executed",
  "system.alert",
];

/**
 * Asks every `everyMs` while the tab is seen, and soon after `nudge`, but never more often than every
 * `leastMs`. What fails goes to `onError`, and is requested again at the next turn.
 */
export function poll({ everyMs, leastMs = 3000, ask, onError }) {
  let timer;
  let askedAt = -Infinity;
  let isStopped = false;

  async function turn() {
    clearTimeout(timer);
    if (isStopped || !session.key) return;
    timer = setTimeout(turn, everyMs);
    if (document.hidden && askedAt > -Infinity) return;
    askedAt = performance.now();
    try {
      await ask();
    } catch (error) {
      onError?.(error);
    }
  }

  void turn();
  return {
    nudge() {
      clearTimeout(timer);
      timer = setTimeout(turn, Math.max(0, leastMs - (performance.now() - askedAt)));
    },
    now: turn,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

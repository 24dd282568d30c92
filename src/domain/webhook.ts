const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long after each failed attempt the next one follows. */
export const RETRY_DELAYS_MS = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
const LONGEST_RETRY_AFTER_MS = 24 * HOUR;

/** What came of one attempt to deliver. */
export type Attempt = {
  at: number;
  isDelivered: boolean;
  /** The receiver says that nothing must come any more (410). */
  isGone: boolean;
  status: number | null;
  latencyMs: number;
  error: string | null;
  /** Why there was no answer, of few different words. */
  cause: string | null;
  snippet: string | null;
  retryAfterMs: number | null;
};

/**
 * When a delivery that failed for the nth time is tried again: after the nth delay, a tenth more or
 * less, and not before the receiver asked for. `undefined`: never.
 */
export function nextAttemptAt(
  failures: number,
  attempt: Attempt,
  endedAt: number,
  random: number,
): number | undefined {
  const delay = RETRY_DELAYS_MS[failures - 1];
  if (delay === undefined || attempt.isGone) return undefined;
  const asked = Math.min(attempt.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS);
  return endedAt + Math.max(delay * (0.9 + 0.2 * random), asked);
}

/** What a delivery is about. */
export type Topic = { task: string | null; batch: string | null };

/**
 * Decides which deliveries may start, called in the order of their events: several at a time, but
 * what is about the same task in order, a batch's own events after those of its tasks before them
 * and before those of its tasks after them, and what is about neither in order, too.
 */
export function createOrder() {
  const tasks = new Set<string>();
  const batches = new Set<string>();
  const batchesThemselves = new Set<string>();

  const isFree = ({ task, batch }: Topic) => {
    if (task !== null) return !tasks.has(task) && !(batch !== null && batchesThemselves.has(batch));
    return !batches.has(batch ?? "");
  };

  return {
    /** Whether it may start; what comes after it in the order may have to wait for it, either way. */
    take(topic: Topic): boolean {
      const mayStart = isFree(topic);
      if (topic.task !== null) tasks.add(topic.task);
      else batchesThemselves.add(topic.batch ?? "");
      if (topic.task === null || topic.batch !== null) batches.add(topic.batch ?? "");
      return mayStart;
    },
  };
}

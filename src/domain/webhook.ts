const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The delay after each failed attempt. */
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

/** The outcome of one attempt to deliver. */
export type Attempt = {
  at: number;
  isDelivered: boolean;
  /** The receiver answered 410 Gone: it wants no more deliveries. */
  isGone: boolean;
  status: number | null;
  latencyMs: number;
  error: string | null;
  /** Why there was no answer, from a small set of words. */
  cause: string | null;
  snippet: string | null;
  retryAfterMs: number | null;
};

/**
 * When a delivery that failed for the nth time is tried again: after the nth delay with a jitter of a tenth, and not
 * before the time that the receiver named. `undefined`: never.
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
 * Decides which deliveries may start in parallel; called in the order of their events. Events of one task stay in
 * order. A batch's own event waits for the earlier events of its tasks, and the later ones wait for it. Events about
 * neither a task nor a batch stay in order, too.
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
    /** Whether it may start. Started or not, later deliveries may have to wait for it. */
    take(topic: Topic): boolean {
      const mayStart = isFree(topic);
      if (topic.task !== null) tasks.add(topic.task);
      else batchesThemselves.add(topic.batch ?? "");
      if (topic.task === null || topic.batch !== null) batches.add(topic.batch ?? "");
      return mayStart;
    },
  };
}

import { type Counters, progressOf } from "./batch.ts";

/**
 * When a running batch will have ended, if it goes on as since its start; `null` where nothing has
 * ended yet or it does not run. Not before `notBefore`.
 */
export function estimateCompletion(
  batch: Counters & { status: string; startedAt: number | null; endedBefore: number },
  notBefore: number | null,
  now: number,
): number | null {
  const { completed, failed, pending, running } = progressOf(batch);
  const ended = completed + failed - batch.endedBefore;
  if (batch.status !== "running" || batch.startedAt === null || ended <= 0) return null;
  const left = ((now - batch.startedAt) / ended) * (pending + running);
  return Math.round(Math.max(now, notBefore ?? 0) + left);
}

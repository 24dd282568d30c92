import { type Counters, progressOf } from "./batch.ts";

/**
 * Estimates when a running batch will end at its rate so far; `null` if no task has ended yet or the batch is not
 * running. Not before `notBefore`.
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

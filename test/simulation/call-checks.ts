import type { AnswerPlan } from "./plan.ts";
import type { ProviderCall } from "./provider.ts";

/** What ended within this time may not be stored yet when its node dies. */
const UNSTORED_MS = 10_000;

/**
 * Checks that nothing is paid twice: the calls of a task that were answered, or refused for good, are
 * no more than its runs and the calls that were lost with a node, a thread or a lease. Answers that do not match
 * their schema are no more than the first, its repairs and that of the model of `escalateTo`, for each run.
 */
export function createCallChecks(calls: readonly ProviderCall[], answers: AnswerPlan | null) {
  const mostMismatches = answers ? 1 + answers.maxRepairs + (answers.escalateTo ? 1 : 0) : 0;
  const excused = new Set<ProviderCall>();
  return {
    /** What these calls came to may be lost. */
    excuse(which: (call: ProviderCall) => boolean, now: number): void {
      for (let i = calls.length - 1; i >= 0; i--) {
        const call = calls[i];
        if (!call || call.at < now - 10 * UNSTORED_MS) return;
        if (which(call) && (call.endedAt === null || call.endedAt > now - UNSTORED_MS))
          excused.add(call);
      }
    },
    /** `runsOf` is `undefined` where a task is gone, and nobody knows how often it ran. */
    check(runsOf: (task: string) => number | undefined, complain: (what: string) => void): void {
      const paid = new Map<string, number>();
      const mismatched = new Map<string, number>();
      const add = (to: Map<string, number>, task: string) => to.set(task, (to.get(task) ?? 0) + 1);
      for (const call of calls) {
        // An answer without content may be asked for again.
        const isPaid = call.outcome === "answered" || call.outcome === "rejected";
        if (isPaid && !call.flags.has("empty") && !excused.has(call))
          add(call.isMismatched ? mismatched : paid, call.task);
      }
      for (const [task, count] of mismatched) {
        const runs = runsOf(task);
        if (runs !== undefined && count > runs * mostMismatches)
          complain(`${task} ran ${runs} times and was answered wrongly ${count} times`);
      }
      for (const [task, count] of paid) {
        const runs = runsOf(task);
        if (runs !== undefined && count > runs)
          complain(`${task} ran ${runs} times and was answered ${count} times`);
      }
    },
  };
}

import type { AnswerPlan } from "./plan.ts";
import type { ProviderCall } from "./provider.ts";

/** How often a task ran, and the attempts that each of its runs has. */
type Runs = { runs: number; attempts: number };
const UNKNOWN: Runs = { runs: Infinity, attempts: Infinity };

/** The result of a call that ended this recently may not be stored yet when its node dies. */
const UNSTORED_MS = 10_000;

/**
 * Checks that nothing is paid twice. The calls of a task that were answered, or refused permanently, must not outnumber
 * its runs, except for calls that were lost with a node, a thread or a lease. The answers to a request that do not match
 * its schema are at most the first one, its repairs and the one of the model in `escalateTo`. A run whose request is
 * changed while it waits begins to count anew. The calls that failed must not outnumber the attempts that its runs have,
 * with one more at the model in `escalateTo`.
 */
export function createCallChecks(calls: readonly ProviderCall[], answers: AnswerPlan | null) {
  const escalations = answers?.escalateTo === undefined ? 0 : 1;
  const mostMismatches = answers ? 1 + answers.maxRepairs + escalations : 0;
  const excused = new Set<ProviderCall>();
  return {
    /** The results of these calls may be lost. */
    excuse(which: (call: ProviderCall) => boolean, now: number): void {
      for (let i = calls.length - 1; i >= 0; i--) {
        const call = calls[i];
        if (!call || call.at < now - 10 * UNSTORED_MS) return;
        if (which(call) && (call.endedAt === null || call.endedAt > now - UNSTORED_MS))
          excused.add(call);
      }
    },
    /**
     * `runsOf` returns `undefined` for a deleted task, whose number of runs is unknown; `changesOf` how often the request
     * of a task may have been changed.
     */
    check(
      runsOf: (task: string) => Runs | undefined,
      changesOf: (task: string) => number,
      complain: (what: string) => void,
    ): void {
      const paid = new Map<string, number>();
      const mismatched = new Map<string, number>();
      const failed = new Map<string, number>();
      const add = (to: Map<string, number>, task: string) => to.set(task, (to.get(task) ?? 0) + 1);
      for (const call of calls) {
        // A request whose answer has no content may be repeated.
        const isPaid = call.outcome === "answered" || call.outcome === "rejected";
        if (isPaid && !call.flags.has("empty") && !excused.has(call))
          add(call.isMismatched ? mismatched : paid, call.task);
        if (call.isFailedAttempt && !excused.has(call)) add(failed, call.task);
      }
      for (const [task, count] of mismatched) {
        const { runs } = runsOf(task) ?? UNKNOWN;
        if (count > (runs + changesOf(task)) * mostMismatches)
          complain(`${task} ran ${runs} times and was answered wrongly ${count} times`);
      }
      for (const [task, count] of paid) {
        const { runs } = runsOf(task) ?? UNKNOWN;
        if (count > runs) complain(`${task} ran ${runs} times and was answered ${count} times`);
      }
      for (const [task, count] of failed) {
        const { runs, attempts } = runsOf(task) ?? UNKNOWN;
        if (count > (runs + changesOf(task)) * (attempts + escalations))
          complain(
            `${task} ran ${runs} times, with ${attempts} attempts each, and failed ${count} times`,
          );
      }
    },
  };
}

import type { ProviderCall } from "./provider.ts";

/** What ended within this time may not be stored yet when its node dies. */
const UNSTORED_MS = 10_000;

/**
 * Checks that nothing is paid twice: the calls of a task that were answered, or refused for good, are
 * no more than its runs and the calls that were lost with a node, a thread or a lease.
 */
export function createCallChecks(calls: readonly ProviderCall[]) {
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
      for (const call of calls) {
        // An answer without content may be asked for again.
        const isPaid = call.outcome === "answered" || call.outcome === "rejected";
        if (isPaid && !call.flags.has("empty") && !excused.has(call))
          paid.set(call.task, (paid.get(call.task) ?? 0) + 1);
      }
      for (const [task, count] of paid) {
        const runs = runsOf(task);
        if (runs !== undefined && count > runs)
          complain(`${task} ran ${runs} times and was answered ${count} times`);
      }
    },
  };
}

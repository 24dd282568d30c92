import type { Ledger } from "./ledger.ts";
import type { Plan } from "./plan.ts";
import { ANY_TASK, type ProviderCall } from "./provider.ts";

/** Commits and clocks of nodes may be late by this much. */
const LATE_MS = 2000;
/** A call that was refused for one of its parameters is repeated without it this soon. */
const REPEATED_MS = 50;

/** Checks that runs ask for the flex tier no longer than until their deadline. */
export function createFlexChecks(
  { flex }: Pick<Plan, "flex">,
  ledger: Ledger,
  complain: (what: string) => void,
): (call: ProviderCall) => void {
  const first = new Map<string, number>();
  /** The last call of each task, and when it began, together with those that it repeats. */
  const last = new Map<string, { call: ProviderCall; begunAt: number }>();
  return (call) => {
    const { task, isFlex } = call;
    if (!flex || !isFlex) return;
    const before = last.get(task);
    const isRepeated =
      before?.call.outcome === "refused" && call.at - (before.call.endedAt ?? 0) < REPEATED_MS;
    const at = isRepeated ? before.begunAt : call.at;
    last.set(task, { call, begunAt: at });
    // A task that was changed, or runs again, waits anew. Prompts that many tasks share name none.
    const isOneTask = !task.includes("-") && !task.startsWith(ANY_TASK);
    const isOneRun = isOneTask && ledger.startsOf(task, null).alone === 1;
    const since = first.get(task) ?? at;
    first.set(task, since);
    if (isOneRun && at - since > flex.deadlineMs + LATE_MS)
      complain(
        `${task} asks for flex ${Math.round(at - since)} ms after it first did, and waits for ${flex.deadlineMs} ms`,
      );
  };
}

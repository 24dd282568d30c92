import type { Failure } from "./failure.ts";

/** How often a run has asked for a better answer so far, and how often it still may. */
export type Chances = {
  /** The model that was called. */
  model: string;
  maxRepairs: number | null;
  repairs: number;
  escalateTo: string | null;
  isEscalated: number;
};

/** The facts of an ended call. */
type Answered = {
  failure: Pick<Failure, "cause"> | null;
  /** Its answer was cut off. */
  isTruncated: boolean;
  /** Its answer does not match its schema, and the model may do better. */
  mayRepair: boolean;
};

/** Causes that mean that the provider answered, but the answer is of no use. */
const POOR: ReadonlySet<string> = new Set(["empty_response", "truncated", "schema_mismatch"]);

/**
 * Decides whether the call that would end a run is followed by another one. An answer that does not match is repaired
 * up to `maxRepairs` times, unless it was cut off, because the repair would be cut off, too. If the answer is still
 * poor, the model of `escalateTo` is called once, and its answer is final.
 */
export function nextAsk(
  { failure, isTruncated, mayRepair }: Answered,
  { model, maxRepairs, repairs, escalateTo, isEscalated }: Chances,
): "repair" | "escalation" | null {
  if (isEscalated === 1) return null;
  if (mayRepair && !isTruncated && repairs < (maxRepairs ?? 0)) return "repair";
  const isPoor = failure ? POOR.has(failure.cause) : isTruncated;
  return isPoor && escalateTo !== null && escalateTo !== model ? "escalation" : null;
}

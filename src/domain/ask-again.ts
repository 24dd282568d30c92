import type { Failure } from "./failure.ts";

/** What a run has been through, and what it may go through yet, for the sake of a better answer. */
export type Chances = {
  /** The model that was asked. */
  model: string;
  maxRepairs: number | null;
  repairs: number;
  escalateTo: string | null;
  isEscalated: number;
};

/** What is known of a call that ended. */
type Answered = {
  failure: Pick<Failure, "cause"> | null;
  /** Its answer was cut off. */
  isTruncated: boolean;
  /** Its answer does not match its schema, and the model may do better. */
  mayRepair: boolean;
};

/** What is no answer, or none of use, though the provider gave it. */
const POOR: ReadonlySet<string> = new Set(["empty_response", "truncated", "schema_mismatch"]);

/**
 * What is asked after a call that the run would end with: an answer that does not match is repaired as often as
 * the task says, unless it was cut off, which its repair would be, too. What is poor after that is asked once
 * from the model of `escalateTo`, whose answer counts, whatever it is.
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

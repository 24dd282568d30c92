import type { Repair } from "../domain/ask-for-json.ts";
import type { Failure } from "../domain/failure.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Final } from "../store/settle.ts";
import type { ClaimedRun } from "./claimed-run.ts";

/** The outcome of a claimed run. */
export type Outcome = Called | Reused | PutBack;

/** Its call was made. `final` ends the run if, after a failure, no other attempt follows. */
export type Called = {
  kind: "called";
  run: ClaimedRun;
  final: Final;
  failure: Failure | null;
  /** The faulty answer that a further call would quote, if the answer does not match and a repair may help. */
  repair: Repair | null;
  signals: RateLimitSignals | null;
  /** The account that was called: the provider's name, and the number of its key unless it is the first. */
  account: string;
  /** Aborted because its task was cancelled or deleted, which says nothing of the provider. */
  isAbandoned: boolean;
};

/** It was given the answer to an identical request. */
export type Reused = { kind: "reused"; run: ClaimedRun; final: Final };

/** It is requeued as if it had not been claimed; with `leavesFlex`, for the standard tier. */
export type PutBack = { kind: "putBack"; run: ClaimedRun; leavesFlex?: true };

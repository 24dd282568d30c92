import type { Repair } from "../domain/ask-for-json.ts";
import type { Failure } from "../domain/failure.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Final } from "../store/settle.ts";
import type { ClaimedRun } from "./claimed-run.ts";

/** What became of a claimed run. */
export type Outcome = Called | Reused | PutBack;

/** Its call was made. `final` ends the run if, after a failure, no other attempt follows. */
export type Called = {
  kind: "called";
  run: ClaimedRun;
  final: Final;
  failure: Failure | null;
  /** What a further call would quote, where the answer does not match its schema and the model may do better. */
  repair: Repair | null;
  signals: RateLimitSignals | null;
  /** Whose account it went to: the provider's name, and which of its keys where that is not the first. */
  account: string;
  /** Ended because nobody wanted it any more, which says nothing of the provider. */
  isAbandoned: boolean;
};

/** It was given the answer to an identical request. */
export type Reused = { kind: "reused"; run: ClaimedRun; final: Final };

/** It goes back into the queue as if it had not been claimed. */
export type PutBack = { kind: "putBack"; run: ClaimedRun };

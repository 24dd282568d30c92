import type { ProviderConfig } from "../config.ts";
import type { Delta } from "../context.ts";
import type { Failure } from "../domain/failure.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { Final } from "../store/settle.ts";

/** A claimed run on its way to a worker thread. `task` and `claim` name it everywhere. */
export type Call = {
  task: number;
  claim: number;
  model: string;
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  isDryRun: boolean;
  cacheKey: string | null;
};

/** How a call ended. `final` ends its run if, after a failure, no other attempt follows. */
export type Outcome = {
  task: number;
  claim: number;
  final: Final;
  failure: Failure | null;
  signals: RateLimitSignals | null;
  /**
   * What was done instead of a call: the run was given the answer to an identical request, or goes
   * back into the queue as if it had not been claimed. Unset where a call was made.
   */
  instead?: "reused" | "put_back";
};

export type ToWorker =
  | { type: "start"; provider: ProviderConfig; simulator: ProviderConfig }
  | { type: "run"; calls: Call[] }
  | { type: "abort"; tasks: number[] };

export type FromWorker = { type: "report"; outcomes: Outcome[]; deltas: Delta[] };

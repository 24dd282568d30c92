import type { Delta } from "../context.ts";
import type { Failure } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { Final } from "../store/settle.ts";

/** A claimed run on its way to a worker thread. `task` and `claim` name it everywhere. */
export type Call = {
  task: number;
  claim: number;
  /** The model that is called, which may stand in for the one that was asked for. */
  model: string;
  fallbackFrom: string | null;
  /** Place of the provider and of its key in the configuration. Dry runs go to the simulator. */
  provider: number;
  key: number;
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  isDryRun: boolean;
  /** Somebody may be waiting for it, so that it goes before others. */
  isUrgent: boolean;
  cacheKey: string | null;
};

/** How a call ended. `final` ends its run if, after a failure, no other attempt follows. */
export type Outcome = {
  task: number;
  claim: number;
  final: Final;
  failure: Failure | null;
  signals: RateLimitSignals | null;
  /** Whose account it went to: the provider's name, and which of its keys where that is not the first. */
  account: string;
  /** Ended because nobody wanted it any more, which says nothing of the provider. */
  isAbandoned: boolean;
  /**
   * What was done instead of a call: the run was given the answer to an identical request, or goes
   * back into the queue as if it had not been claimed. Unset where a call was made.
   */
  instead?: "reused" | "put_back";
};

export type ToWorker =
  | { type: "start"; providers: Provider[]; simulator: Provider }
  | { type: "run"; calls: Call[] }
  | { type: "abort"; tasks: number[] };

export type FromWorker = { type: "report"; outcomes: Outcome[]; deltas: Delta[] };

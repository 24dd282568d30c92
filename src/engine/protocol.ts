import type { Delta } from "../context.ts";
import type { Failure } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";
import type { UploadPlace } from "../lib/upload-reader.ts";

/** A call for a worker thread. `task` and `claim` identify it everywhere. */
export type Call = {
  task: number;
  claim: number;
  /** Index of the provider, and of its key, in the configuration; `null` for the simulator. */
  provider: number | null;
  key: number;
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  /**
   * The answer must match the schema of the request, for which the call may use JSON mode or an instruction instead.
   */
  isChecked: boolean;
  /** A client may be waiting for it, so it goes before others. */
  isUrgent: boolean;
};

/** The result of a call. The main thread knows its run, and decides what follows. */
export type Report = {
  task: number;
  claim: number;
  at: number;
  /** Aborted because its task was cancelled or deleted, which says nothing of the provider. */
  isAbandoned: boolean;
  failure: Failure | null;
  requestId: string | null;
  /** The provider's answer, JSON text, kept even if it is unusable. */
  response: string | null;
  /** The text of an answer that is to be checked. */
  text: string | null;
  /** The model that answered, and the usage, if the answer names them. */
  model: string | null;
  usage: Usage | null;
  /** The tier at which it was served, if the answer names it. */
  serviceTier: string | null;
  /** The answer was cut off. */
  isTruncated: boolean;
  /** Parts of the request that the provider refused, so it was sent without them. */
  adjusted: string[];
  signals: RateLimitSignals | null;
};

export type ToWorker =
  | { type: "start"; providers: Provider[]; simulator: Provider; uploads: UploadPlace }
  | { type: "run"; calls: Call[] }
  | { type: "abort"; tasks: number[] };

export type FromWorker = { type: "report"; reports: Report[]; deltas: Delta[] };

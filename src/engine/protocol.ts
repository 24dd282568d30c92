import type { Delta } from "../context.ts";
import type { Failure } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";
import type { UploadPlace } from "../lib/upload-reader.ts";

/** What a worker thread needs to know of a call. `task` and `claim` name it everywhere. */
export type Call = {
  task: number;
  claim: number;
  /** Place of the provider and of its key in the configuration; `null` for the simulator. */
  provider: number | null;
  key: number;
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  /** The answer is to match the schema of the request, which may be asked for in other words. */
  isChecked: boolean;
  /** Somebody may be waiting for it, so that it goes before others. */
  isUrgent: boolean;
};

/** What a call came to. Whose it was, and what follows, the main thread knows. */
export type Report = {
  task: number;
  claim: number;
  at: number;
  /** Ended because nobody wanted it any more, which says nothing of the provider. */
  isAbandoned: boolean;
  failure: Failure | null;
  requestId: string | null;
  /** The provider's answer, JSON text, kept even where it is unusable. */
  response: string | null;
  /** The text of an answer that is to be checked. */
  text: string | null;
  /** The model that answered and what it used, where the answer says so. */
  model: string | null;
  usage: Usage | null;
  /** The tier at which it was served, where the answer says so. */
  serviceTier: string | null;
  /** The answer was cut off. */
  isTruncated: boolean;
  /** What of the request the provider refused, so that it was sent without it. */
  adjusted: string[];
  signals: RateLimitSignals | null;
};

export type ToWorker =
  | { type: "start"; providers: Provider[]; simulator: Provider; uploads: UploadPlace }
  | { type: "run"; calls: Call[] }
  | { type: "abort"; tasks: number[] };

export type FromWorker = { type: "report"; reports: Report[]; deltas: Delta[] };

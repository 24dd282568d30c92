import type { Answer } from "../domain/answer.ts";
import type { Failure } from "../domain/failure.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { ReadUpload } from "../lib/upload-reader.ts";

/** One call to a provider. `body` is JSON text, sent as it stands. */
export type ProviderCall = {
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  /** Its `response_format` may be asked for in other words, where the provider does not take it. */
  isChecked: boolean;
  /** Reads what the body refers to; without it, references are sent as they are. */
  readUpload?: ReadUpload;
  /** Aborting it ends the call and closes its connection. */
  abort: AbortController;
  /** Receives the text of a streamed answer, piece by piece. */
  onDelta: (text: string) => void;
};

/** What came of a call. `response` is the provider's answer as JSON text, kept even where it is unusable. */
export type CallResult = (
  | { ok: true; answer: Answer; response: string; requestId: string | null }
  | {
      ok: false;
      failure: Failure;
      response: string | null;
      answer: Answer | null;
      /** What the model wrote, where the provider itself found that it does not match the schema. */
      mismatch?: string | null;
    }
) & {
  /** What the answer reports about the provider's limits. */
  signals: RateLimitSignals | null;
  /** What of the request the provider refused, so that it was sent without it. */
  adjusted: string[];
};

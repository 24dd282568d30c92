import type { Answer } from "../domain/answer.ts";
import type { Failure } from "../domain/failure.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import type { ReadUpload } from "../lib/upload-reader.ts";

/** One call to a provider. `body` is JSON text, sent unchanged. */
export type ProviderCall = {
  endpoint: Endpoint;
  body: string;
  timeoutMs: number;
  /** Its `response_format` may be replaced by an instruction if the provider does not support it. */
  isChecked: boolean;
  /** Reads the uploads that the body refers to; without it, references are sent unchanged. */
  readUpload?: ReadUpload;
  /** Aborting it ends the call and closes its connection. */
  abort: AbortController;
  /** Receives the text of a streamed answer, piece by piece. */
  onDelta: (text: string) => void;
};

/** The result of a call. `response` is the provider's answer as JSON text, kept even if it is unusable. */
export type CallResult = (
  | { ok: true; answer: Answer; response: string; requestId: string | null }
  | {
      ok: false;
      failure: Failure;
      response: string | null;
      answer: Answer | null;
      /** The model's text, if the provider itself reported that it does not match the schema. */
      mismatch?: string | null;
    }
) & {
  /** The rate limits that the answer reports. */
  signals: RateLimitSignals | null;
  /** Parts of the request that the provider refused, so it was sent without them. */
  adjusted: string[];
};

import type { Failure } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import type { Endpoint } from "../domain/request.ts";
import { type Adjustments, MOST_ADJUSTMENTS } from "./adjust.ts";
import { classifyReply, requestIdOf } from "./classify.ts";
import { readErrorWords } from "./error-words.ts";
import { follow } from "./follow.ts";
import { createLine, prepare } from "./openai.ts";
import type { Outside } from "./outside.ts";
import { readRateLimits, readRefusal } from "./rate-limit-signals.ts";
import { refusalText } from "./reply-bytes.ts";

/** A request whose answer is passed to the client unchanged. */
export type PassedRequest = { endpoint: Endpoint; text: string; signal: AbortSignal };

/** A provider's reply. The body of a successful one is not read yet. */
export type Passed = {
  adjusted: string[];
  requestId: string | null;
  signals: RateLimitSignals | null;
} & (
  | {
      kind: "reply";
      reply: Response;
      /** The stream has a usage chunk that the client did not request. */
      hasOwnUsage: boolean;
    }
  | { kind: "refused"; status: number; contentType: string; text: string; failure: Failure }
);

/**
 * Sends requests to a provider with one of its keys, and repeats them without the parameters that it refuses. Throws
 * what `fetch` throws.
 */
export function createPassage(
  provider: Provider,
  outside: Outside,
  key: number,
  adjustments: Adjustments,
): (request: PassedRequest) => Promise<Passed> {
  const { send, requestTo, withoutSecret } = createLine(provider, outside, key);
  return async ({ endpoint, text: given, signal }) => {
    const { url, init } = await requestTo(endpoint);
    for (let left = MOST_ADJUSTMENTS; ; left--) {
      const call = { endpoint, body: given, isChecked: false };
      const { body, text, adjusted, wantsUsage } = prepare(call, adjustments);
      const reply = await follow(send, url, { ...init, body: text, signal });
      const requestId = requestIdOf(reply);
      const nowMs = outside.clock.now();
      if (reply.ok) {
        const signals = readRateLimits(reply.headers, nowMs);
        return { kind: "reply", reply, hasOwnUsage: wantsUsage, adjusted, requestId, signals };
      }
      const said = withoutSecret(await refusalText(reply));
      if (left > 0 && adjustments.learn(body(), false, reply.status, readErrorWords(said)))
        continue;
      return {
        kind: "refused",
        status: reply.status,
        contentType: reply.headers.get("content-type") ?? "application/json",
        text: said,
        failure: classifyReply(reply, said, { address: url, nowMs }),
        signals:
          reply.status === 429
            ? readRefusal(reply.headers, said, nowMs)
            : readRateLimits(reply.headers, nowMs),
        adjusted,
        requestId,
      };
    }
  };
}

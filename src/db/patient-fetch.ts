import type { Clock } from "../lib/clock.ts";
import { Unreachable } from "./refusal.ts";

/** A `fetch` whose answer has come whole within `ms`, or fails with `Unreachable`, as it does where nobody answers. */
export function patientFetch(clock: Pick<Clock, "setTimeout">, ms: number) {
  return async (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const giveUp = new AbortController();
    const late = `no answer within ${ms / 1000} s`;
    const cancel = clock.setTimeout(() => giveUp.abort(new Error(late)), ms);
    try {
      const response = await fetch(input, { ...init, signal: giveUp.signal });
      return new Response(await response.arrayBuffer(), response);
    } catch (error) {
      const why = giveUp.signal.aborted ? late : `no connection (${codeOf(error)})`;
      throw new Unreachable(why, { cause: error });
    } finally {
      cancel();
    }
  };
}

/** What the runtime calls it, such as `ConnectionRefused`. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

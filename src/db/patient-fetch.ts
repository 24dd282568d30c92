import type { Clock } from "../lib/clock.ts";
import type { Outage } from "./outage.ts";
import { Unreachable } from "./refusal.ts";

export type PatienceLimits = {
  clock: Pick<Clock, "setTimeout">;
  ms: number;
  /** Is told of each request whether the server answered it. */
  outage?: Outage | undefined;
};

/** A `fetch` that fails with `Unreachable` unless the whole answer has come within `ms`, or if no server answers. */
export function patientFetch({ clock, ms, outage }: PatienceLimits) {
  return async (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const giveUp = new AbortController();
    const late = `no answer within ${ms / 1000} s`;
    const cancel = clock.setTimeout(() => giveUp.abort(new Error(late)), ms);
    try {
      const response = await fetch(input, { ...init, signal: giveUp.signal });
      const whole = new Response(await response.arrayBuffer(), response);
      outage?.answered();
      return whole;
    } catch (error) {
      const why = giveUp.signal.aborted ? late : `no connection (${codeOf(error)})`;
      outage?.failed(why);
      throw new Unreachable(why, { cause: error });
    } finally {
      cancel();
    }
  };
}

/** The runtime's code of the error, such as `ConnectionRefused`. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

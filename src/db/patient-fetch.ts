import type { Clock } from "../lib/clock.ts";
import type { Outage } from "./outage.ts";
import { Unreachable } from "./refusal.ts";

export type PatienceLimits = {
  clock: Pick<Clock, "setTimeout">;
  ms: number;
  /** Hears of each request whether a server answered it. */
  outage?: Outage | undefined;
};

/** A `fetch` whose answer has come whole within `ms`, or fails with `Unreachable`, as it does where nobody answers. */
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

/** What the runtime calls it, such as `ConnectionRefused`. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

import type { Clock } from "../lib/clock.ts";
import type { Outage } from "./outage.ts";
import { Unreachable } from "./refusal.ts";

export type PatienceLimits = {
  clock: Pick<Clock, "setTimeout">;
  ms: number;
  /** Is told of each request whether the server answered it. */
  outage?: Outage | undefined;
};

/** A proxy answers so if its server is gone or silent, and a server that does not work for now. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

/** A `fetch` that fails with `Unreachable` unless the whole answer of a working server has come within `ms`. */
export function patientFetch({ clock, ms, outage }: PatienceLimits) {
  return async (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const giveUp = new AbortController();
    const late = `no answer within ${ms / 1000} s`;
    const cancel = clock.setTimeout(() => giveUp.abort(new Error(late)), ms);
    let failure: { why: string; cause?: unknown };
    try {
      const response = await fetch(input, { ...init, signal: giveUp.signal });
      const whole = new Response(await response.arrayBuffer(), response);
      if (!AWAY.has(whole.status)) {
        outage?.answered();
        return whole;
      }
      failure = { why: `HTTP status ${whole.status}` };
    } catch (error) {
      const why = giveUp.signal.aborted ? late : `no connection (${codeOf(error)})`;
      failure = { why, cause: error };
    } finally {
      cancel();
    }
    outage?.failed(failure.why);
    throw new Unreachable(failure.why, failure);
  };
}

/** The runtime's code of the error, such as `ConnectionRefused`. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

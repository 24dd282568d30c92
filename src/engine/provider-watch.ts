import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { isUnsent, looksDown } from "../domain/failure.ts";
import { background } from "../lib/background.ts";
import { clearAlert, raiseAlert } from "../services/alerts.ts";
import { isFlex } from "./claimed-run.ts";
import { createKnown } from "./known.ts";
import type { Called } from "./outcome.ts";

/** An alert needs this many failures in a row, over at least this time. */
const CALLS = 5;
const FOR_MS = 10_000;

type Watched = {
  failures: number;
  since: number;
  /** The current state; and whether a report is in progress. */
  state: State | undefined;
  isReporting: boolean;
};
type State = "up" | "down";

/**
 * Raises an alert when all calls to a provider have failed for a while as if it were down, and clears it with the
 * first answer of any kind. A report that failed is repeated with the next call.
 */
export function createProviderWatch(ctx: Context, { calls = CALLS, forMs = FOR_MS } = {}) {
  const log = getLogger(["gptrunner", "alerts"]);
  const watched = new Map<string, Watched>();
  /** The last committed reports. */
  const reported = createKnown<State>(ctx.clock);

  function providerOf(name: string): Watched {
    let provider = watched.get(name);
    if (!provider)
      watched.set(
        name,
        (provider = { failures: 0, since: 0, state: undefined, isReporting: false }),
      );
    return provider;
  }

  /** Reports the state of a provider until the last report is true, one report at a time. */
  async function report(name: string, provider: Watched, why: string): Promise<void> {
    if (provider.isReporting) return;
    provider.isReporting = true;
    try {
      while (provider.state !== undefined && reported.get(name) !== provider.state) {
        const { state } = provider;
        const alert = { code: "provider.down", subject: name, message: why } as const;
        await (state === "down" ? raiseAlert(ctx, alert) : clearAlert(ctx, "provider.down", name));
        reported.set(name, state);
      }
    } finally {
      provider.isReporting = false;
    }
  }

  function is(name: string, provider: Watched, state: State, why = ""): void {
    provider.state = state;
    if (reported.get(name) !== state)
      background(log, "Reporting an alert", report(name, provider, why));
  }

  function answered(name: string): void {
    const provider = providerOf(name);
    provider.failures = 0;
    is(name, provider, "up");
  }

  function failed(name: string, why: string, at: number): void {
    const provider = providerOf(name);
    if (provider.failures++ === 0) provider.since = at;
    if (provider.failures < calls || at - provider.since < forMs) return;
    const seconds = Math.round((at - provider.since) / 1000);
    is(name, provider, "down", `No call to ${name} was answered for ${seconds} s: ${why}`);
  }

  return {
    see(calls: Called[]): void {
      for (const { run, failure, final, isAbandoned } of calls) {
        if (isAbandoned || (failure && isUnsent(failure.cause))) continue;
        if (failure?.cause === "overloaded" && isFlex(run)) continue;
        if (failure === null || !looksDown(failure.cause)) answered(final.provider);
        else failed(final.provider, failure.message, final.at);
      }
    },
    /** Notes that a probe failed. While a breaker is open there are no calls that could show it. */
    probeFailed: (name: string, why: string) => failed(name, why, ctx.clock.now()),
  };
}

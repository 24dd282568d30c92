import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { looksDown } from "../domain/failure.ts";
import { clearAlert, raiseAlert } from "../services/alerts.ts";
import type { Outcome } from "./protocol.ts";

/** So many calls in a row, over so long a time, are no coincidence. */
const CALLS = 5;
const FOR_MS = 10_000;

/**
 * Raises an alert when all calls to a provider have failed for a while as if it were down, and tells
 * that all is clear with the first that is answered, whatever the answer.
 */
export function createProviderWatch(ctx: Context, { calls = CALLS, forMs = FOR_MS } = {}) {
  const log = getLogger(["gptrunner", "alerts"]);
  const known = new Map<string, { failures: number; since: number; state?: "up" | "down" }>();

  function tell(work: Promise<unknown>): void {
    work.catch((error: unknown) => log.error("An alert could not be told: {error}", { error }));
  }

  function providerOf(name: string) {
    let provider = known.get(name);
    if (!provider) known.set(name, (provider = { failures: 0, since: 0 }));
    return provider;
  }

  function answered(name: string): void {
    const provider = providerOf(name);
    provider.failures = 0;
    if (provider.state === "up") return;
    provider.state = "up";
    tell(clearAlert(ctx, "provider.down", name));
  }

  function failed(name: string, why: string, at: number): void {
    const provider = providerOf(name);
    if (provider.failures++ === 0) provider.since = at;
    if (provider.state === "down") return;
    if (provider.failures < calls || at - provider.since < forMs) return;
    provider.state = "down";
    const seconds = Math.round((at - provider.since) / 1000);
    const message = `No call to ${name} was answered for ${seconds} s: ${why}`;
    tell(raiseAlert(ctx, { code: "provider.down", subject: name, message }));
  }

  return {
    see(outcomes: Outcome[]): void {
      for (const { failure, final, isAbandoned } of outcomes) {
        if (failure?.cause === "worker_lost" || isAbandoned) continue;
        if (failure === null || !looksDown(failure.cause)) answered(final.provider);
        else failed(final.provider, failure.message, final.at);
      }
    },
    /** A probe failed. While a breaker is open there are no calls that could tell. */
    probeFailed: (name: string, why: string) => failed(name, why, ctx.clock.now()),
  };
}

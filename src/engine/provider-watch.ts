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

  return {
    see(outcomes: Outcome[]): void {
      for (const { failure, final, isAbandoned } of outcomes) {
        if (failure?.cause === "worker_lost" || isAbandoned) continue;
        const name = final.provider;
        let provider = known.get(name);
        if (!provider) known.set(name, (provider = { failures: 0, since: 0 }));
        if (failure === null || !looksDown(failure.cause)) {
          provider.failures = 0;
          if (provider.state === "up") continue;
          provider.state = "up";
          tell(clearAlert(ctx, "provider.down", name));
          continue;
        }
        if (provider.failures++ === 0) provider.since = final.at;
        if (provider.state === "down") continue;
        if (provider.failures < calls || final.at - provider.since < forMs) continue;
        provider.state = "down";
        const message = `No call to ${name} was answered for ${Math.round((final.at - provider.since) / 1000)} s: ${failure.message}`;
        tell(raiseAlert(ctx, { code: "provider.down", subject: name, message }));
      }
    },
  };
}

import { bucketOf, BUCKETS } from "../domain/latency.ts";
import type { Claimed } from "../store/claim.ts";
import { noSums, type Tally } from "../store/rollups.ts";
import type { Final } from "../store/settle.ts";
import type { Called } from "./outcome.ts";

/** Calls to a provider with the same end; `code` is the answer's status or, without one, the cause. */
export type CallCount = { provider: string; model: string; code: string; count: number };

/** The fields of a run and its end that are added up. */
type Counted = Pick<
  Final,
  | "status"
  | "provider"
  | "at"
  | "promptTokens"
  | "completionTokens"
  | "cachedTokens"
  | "reasoningTokens"
  | "costUsd"
>;
type CountedRun = Pick<
  Claimed,
  | "payer"
  | "model"
  | "startedAt"
  | "queuedAt"
  | "attempt"
  | "isDryRun"
  | "earlierPromptTokens"
  | "earlierCompletionTokens"
  | "earlierCachedTokens"
  | "earlierReasoningTokens"
  | "earlierUsd"
  | "earlierUnpriced"
>;
/** The earlier usage of a run whose first answer counts. */
export const NOTHING_EARLIER = {
  earlierPromptTokens: 0,
  earlierCompletionTokens: 0,
  earlierCachedTokens: 0,
  earlierReasoningTokens: 0,
  earlierUsd: 0,
  earlierUnpriced: 0,
};

/** Adds up runs that end together, by status, model, provider and key. */
export function createTally() {
  const groups = new Map<string, Tally>();
  const calls = new Map<string, CallCount>();
  return {
    /** Counts a call that ended, whether or not its run did. */
    addCall(
      { failure, final }: Pick<Called, "failure"> & { final: Pick<Final, "provider"> },
      model: string,
    ): void {
      const code = String(failure ? (failure.providerStatus ?? failure.cause) : 200);
      const key = `${code} ${final.provider} ${model}`;
      const known = calls.get(key);
      if (known) known.count++;
      else calls.set(key, { provider: final.provider, model, code, count: 1 });
    },
    add(final: Counted, run: CountedRun): void {
      const key = `${final.status} ${final.provider} ${run.payer} ${run.model}`;
      let group = groups.get(key);
      if (!group) {
        group = {
          status: final.status,
          model: run.model,
          provider: final.provider,
          apiKey: run.payer,
          dearestUsd: 0,
          sums: noSums(),
          buckets: Array.from({ length: BUCKETS }, () => 0),
        };
        groups.set(key, group);
      }
      const { sums, buckets } = group;
      const tookMs = final.at - run.startedAt;
      const bucket = bucketOf(tookMs);
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
      sums.tasks++;
      sums.duration_ms += tookMs;
      sums.wait_ms += run.startedAt - run.queuedAt;
      sums.attempts += run.attempt;
      sums.prompt_tokens += (final.promptTokens ?? 0) + run.earlierPromptTokens;
      sums.completion_tokens += (final.completionTokens ?? 0) + run.earlierCompletionTokens;
      sums.cached_tokens += (final.cachedTokens ?? 0) + run.earlierCachedTokens;
      sums.reasoning_tokens += (final.reasoningTokens ?? 0) + run.earlierReasoningTokens;
      const cost = run.isDryRun === 0 ? (final.costUsd ?? 0) : 0;
      sums.cost_usd += cost + (run.isDryRun === 0 ? run.earlierUsd : 0);
      group.dearestUsd = Math.max(group.dearestUsd, cost);
      const isUnpriced = final.promptTokens !== null && final.costUsd === null;
      if (isUnpriced || run.earlierUnpriced > 0) sums.unpriced++;
    },
    calls: (): CallCount[] => [...calls.values()],
    tallies: (): Tally[] => [...groups.values()],
  };
}

import { bucketOf, BUCKETS } from "../domain/latency.ts";
import { noSums, type Tally } from "../store/rollups.ts";
import type { Final } from "../store/settle.ts";

/** What a claim tells of its run. */
export type RunFacts = {
  model: string;
  apiKey: number;
  isDryRun: boolean;
  queuedAt: number;
  startedAt: number;
  attempt: number;
};

/** Adds up runs that end together, by status, model, provider and key. */
export function createTally() {
  const groups = new Map<string, Tally>();
  return {
    add(final: Final, run: RunFacts): void {
      const key = `${final.status} ${final.provider} ${run.apiKey} ${run.model}`;
      let group = groups.get(key);
      if (!group) {
        group = {
          status: final.status,
          model: run.model,
          provider: final.provider,
          apiKey: run.apiKey,
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
      sums.prompt_tokens += final.promptTokens ?? 0;
      sums.completion_tokens += final.completionTokens ?? 0;
      sums.cached_tokens += final.cachedTokens ?? 0;
      sums.reasoning_tokens += final.reasoningTokens ?? 0;
      if (!run.isDryRun) sums.cost_usd += final.costUsd ?? 0;
      if (final.promptTokens !== null && final.costUsd === null) sums.unpriced++;
    },
    tallies: (): Tally[] => [...groups.values()],
  };
}

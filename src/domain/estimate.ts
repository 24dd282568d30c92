import { costUsd, type Price } from "./prices.ts";

/** A sampled task, which stands for others. */
export type SampledTask = {
  model: string;
  promptTokens: number;
  /** The most tokens that the answer may have; `null` if the task sets no limit. */
  maxOutputTokens: number | null;
  /** The service tier that it requests. */
  tier: string | null;
  /** Its endpoint charges for tokens. What other endpoints charge is not known before the answer. */
  isPriced: boolean;
};

export type Estimate = {
  tasks: number;
  sampledTasks: number;
  promptTokens: number;
  completionTokens: { min: number; max: number };
  /** `null` if the price of a sampled task is unknown. */
  costUsd: { min: number; max: number } | null;
  unpricedModels: string[];
  durationSeconds: number;
};

export type Pace = {
  /** Calls at once. */
  concurrency: number;
  secondsPerCall: number;
};

/** The most output tokens that are assumed for an answer without a limit. */
export const ASSUMED_OUTPUT_TOKENS = 1000;

/**
 * Estimates tokens, cost and time of `tasks` tasks from a sample. Prompts are counted; an answer has between one
 * token and as many as the task allows. The time is that of `tasks` calls, `concurrency` at once.
 */
export function estimate(
  tasks: number,
  sample: SampledTask[],
  pace: Pace,
  priceOf: (model: string) => Price | undefined,
): Estimate {
  const share = sample.length === 0 ? 0 : tasks / sample.length;
  const sum = { prompt: 0, minOutput: 0, maxOutput: 0, minCost: 0, maxCost: 0 };
  const unpriced = new Set<string>();
  for (const { model, promptTokens, maxOutputTokens, tier, isPriced } of sample) {
    const max = maxOutputTokens ?? ASSUMED_OUTPUT_TOKENS;
    const min = Math.min(1, max);
    const price = isPriced ? priceOf(model) : undefined;
    const cost = (completionTokens: number) =>
      costUsd(
        price,
        { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens },
        tier,
      );
    if (cost(0) === null) unpriced.add(model);
    sum.prompt += promptTokens;
    sum.minOutput += min;
    sum.maxOutput += max;
    sum.minCost += cost(min) ?? 0;
    sum.maxCost += cost(max) ?? 0;
  }
  return {
    tasks,
    sampledTasks: sample.length,
    promptTokens: Math.round(sum.prompt * share),
    completionTokens: {
      min: Math.round(sum.minOutput * share),
      max: Math.round(sum.maxOutput * share),
    },
    costUsd:
      unpriced.size > 0
        ? null
        : { min: money(sum.minCost * share), max: money(sum.maxCost * share) },
    unpricedModels: [...unpriced],
    durationSeconds: Number((Math.ceil(tasks / pace.concurrency) * pace.secondsPerCall).toFixed(3)),
  };
}

/** What the finished tasks of a batch took, and what the rest will cost at that rate. */
export type Measured = {
  rows: number;
  promptTokensPerRow: number;
  completionTokensPerRow: number;
  costUsdPerRow: number | null;
  costUsd: number | null;
};

/** The cost of a batch with `rest` tasks still to run; `null` if no task has run except in a dry run. */
export function measuredIn(batch: MeasuredBatch, rest: number): Measured | null {
  const { completed, failed, promptTokens, completionTokens, unpriced, isDryRun } = batch;
  const rows = completed + failed;
  if (rows === 0 || isDryRun) return null;
  const each = unpriced > 0 ? null : batch.costUsd / rows;
  return {
    rows,
    promptTokensPerRow: Number((promptTokens / rows).toFixed(1)),
    completionTokensPerRow: Number((completionTokens / rows).toFixed(1)),
    costUsdPerRow: each === null ? null : Number(each.toFixed(9)),
    costUsd: each === null ? null : money(each * rest),
  };
}

type MeasuredBatch = {
  completed: number;
  failed: number;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
  unpriced: number;
  isDryRun: boolean;
};

function money(usd: number): number {
  return Number(usd.toFixed(6));
}

import type { Context } from "../context.ts";
import { keyOfStored } from "../domain/cache-key.ts";
import { awaited, isWaitingBatch } from "../domain/chain.ts";
import {
  type Estimate,
  estimate,
  type Measured,
  measuredIn,
  type Pace,
  type SampledTask,
} from "../domain/estimate.ts";
import { priceOf } from "../domain/prices.ts";
import { isCounted } from "../domain/request.ts";
import { routesOf } from "../domain/routes.ts";
import { AppError } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { reusableRows } from "../store/base-answers.ts";
import {
  differentRequests,
  pendingFrom,
  pendingRange,
  RECENT_CALL_MS,
  referringRequests,
} from "../store/estimate.ts";
import { readInHalves, readRows } from "../store/rows.ts";
import { getBatch } from "./batches.ts";

/** How many tasks are sampled: all of a small batch, groups of neighbours spread over a large one. */
const SAMPLE = 1000;
const RUN = 50;
/** The most characters whose tokens are counted, so that an estimate takes seconds at most. */
const MOST_CHARACTERS = 4_000_000;
/**
 * The time limit of counting, which is slow for texts that are not natural language; the rest is estimated from its
 * length.
 */
const MOST_MS = 10_000;
/** The assumed duration of a call if none has been made yet. */
const ASSUMED_CALL_MS = 2000;
/** The largest batch whose requests are compared: it takes a second for this many requests of a kilobyte. */
const MOST_COMPARED = 100_000;
/** How many requests that refer to uploads are read at a time. */
const PAGE = 50;

export type BatchEstimate = Estimate & {
  concurrency: number;
  secondsPerCall: number;
  /** How many different requests the tasks have; `null` if there are too many tasks to compare. */
  differentRequests: number | null;
  /** How many of the tasks reuse an answer; `null` without a `baseBatch`. */
  reused: number | null;
  measured: Measured | null;
};

/** Estimates the tokens, cost and time of the tasks of a batch that are still to run. */
export async function estimateBatch(ctx: Context, id: string): Promise<BatchEstimate> {
  const batch = await getBatch(ctx, id);
  if (isWaitingBatch(batch))
    throw new AppError(
      "BATCH_NOT_RUNNING",
      `Batch ${id} has no rows to estimate until ${awaited(batch)}`,
    );
  const tasks = batch.total - batch.completed - batch.failed - batch.cancelled;
  const pace = await paceOf(ctx, batch.maxConcurrency);
  const sample = await sampleOf(ctx, batch.seq, tasks);
  const reused = batch.baseBatch === null ? null : await countReused(ctx, batch.seq);
  return {
    ...estimate(tasks - (reused ?? 0), sample, pace, (model) => priceAt(ctx, model)),
    ...pace,
    tasks,
    reused,
    differentRequests: await countDifferent(ctx, batch.seq, tasks),
    measured: measuredIn(batch, tasks - (reused ?? 0)),
  };
}

/** The concurrency and the recent duration of calls. */
export async function paceOf(
  ctx: Context,
  maxConcurrency: number | null | undefined,
): Promise<Pace> {
  const recent = (await readRows(ctx.longReads.client, RECENT_CALL_MS))[0]?.ms;
  return {
    concurrency: Math.min(maxConcurrency ?? Infinity, ctx.config.maxConcurrency),
    secondsPerCall: (recent ?? ASSUMED_CALL_MS) / 1000,
  };
}

async function countDifferent(ctx: Context, batch: number, tasks: number): Promise<number | null> {
  if (tasks > MOST_COMPARED) return null;
  const [row] = await readRows(ctx.longReads.client, differentRequests(batch));
  const pauses = createPauses(ctx.clock);
  const keys = new Set<string>();
  for (let after = -1; ;) {
    const page = await readInHalves(PAGE, (limit, skip) =>
      readRows(ctx.longReads.client, referringRequests(batch, after, limit, skip)),
    );
    for (const request of page) {
      if (pauses.isDue()) await pauses.take();
      keys.add(keyOfStored(request) ?? `${request.position}`);
    }
    const last = page.at(-1);
    if (!last) return (row?.n ?? 0) + keys.size;
    after = last.position;
  }
}

async function countReused(ctx: Context, batch: number): Promise<number> {
  const [row] = await readRows(ctx.longReads.client, reusableRows(batch));
  return row?.n ?? 0;
}

/** The price of the provider that is called first. */
export function priceAt({ config, clock }: Context, model: string) {
  const [route] = routesOf(config, model);
  const provider = config.providers[route?.provider ?? 0] ?? config.simulator;
  return priceOf(model, provider.prices, provider, clock.now());
}

async function sampleOf(ctx: Context, batch: number, tasks: number): Promise<SampledTask[]> {
  const sent: SampledTask[] = [];
  const reused: SampledTask[] = [];
  const until = ctx.clock.monotonic() + MOST_MS;
  let characters = 0;
  for (const position of await startsOfRuns(ctx, batch, tasks)) {
    const page = await readInHalves(RUN, (limit, skip) =>
      readRows(ctx.longReads.client, pendingFrom(batch, position, limit, skip)),
    );
    const counted = page.filter(({ body }, i) => {
      characters += body.length;
      return characters <= MOST_CHARACTERS || (i === 0 && sent.length + reused.length === 0);
    });
    const sizes = await ctx.tokens.measure(counted, until - ctx.clock.monotonic());
    for (const [i, { promptTokens, maxOutputTokens, tier }] of sizes.entries()) {
      const { model = "", endpoint, hasBase } = counted[i] ?? {};
      const most = endpoint === "/v1/embeddings" ? 0 : maxOutputTokens;
      const isPriced = endpoint === undefined || isCounted(endpoint);
      const one = { model, tier, promptTokens, maxOutputTokens: most, isPriced };
      (hasBase ? reused : sent).push(one);
    }
    if (characters > MOST_CHARACTERS) break;
  }
  // If the sample has no task that is sent, the reused ones stand for them.
  return sent.length > 0 ? sent : reused;
}

/** The start positions of the sampled groups: consecutive in a small batch, evenly spread in a large one. */
async function startsOfRuns(ctx: Context, batch: number, tasks: number): Promise<number[]> {
  const [range] = await readRows(ctx.longReads.client, pendingRange(batch));
  if (!range || range.first === null || range.last === null) return [];
  const { first, last } = range;
  if (tasks > SAMPLE || last - first > 2 * SAMPLE) {
    const runs = SAMPLE / RUN;
    const step = (last - first + 1) / runs;
    return Array.from({ length: runs }, (_, i) => Math.floor(first + i * step));
  }
  return Array.from({ length: Math.ceil((last - first + 1) / RUN) }, (_, i) => first + i * RUN);
}

import type { Context } from "../context.ts";
import { PRICE_UNKNOWN } from "../domain/batch.ts";
import { knownPrice } from "../domain/prices.ts";
import { type Endpoint, isCounted } from "../domain/request.ts";
import { routesOf } from "../domain/routes.ts";
import { AppError } from "../errors.ts";
import { type Funds, fundsOf, nextMonth, solventAgain } from "../store/budgets.ts";
import { readRows } from "../store/rows.ts";
import { clearAlert } from "./alerts.ts";

/** Throws `QUOTA_EXCEEDED` if a key (by row number) has spent its `monthlyBudgetUsd`. */
export async function requireBudget(
  ctx: Pick<Context, "client" | "clock">,
  payer: number,
): Promise<void> {
  await readFunds(ctx, payer, null);
}

/**
 * Throws `QUOTA_EXCEEDED` if there is no money for a task that is executed by itself: the requesting key has spent
 * its budget, the cap of the task's batch allows no other call, or either would have to pay an unknown price.
 */
export async function requireFunds(
  ctx: Context,
  payer: number,
  { model, endpoint, batchId }: Requested & { batchId: string | null },
): Promise<void> {
  const funds = await readFunds(ctx, payer, batchId);
  if (!funds) return;
  if (funds.isCapSpent === 1)
    throw new AppError(
      "QUOTA_EXCEEDED",
      `Batch ${batchId} has cost ${funds.cost?.toFixed(4)} of its ${funds.cap} USD, which does not pay for another call; raise its maxCostUsd first`,
    );
  if ((funds.budget === null && funds.cap === null) || isPriced(ctx, { model, endpoint }, funds))
    return;
  throw new AppError("QUOTA_EXCEEDED", `Model ${model}: ${PRICE_UNKNOWN.message}`);
}

async function readFunds(
  ctx: Pick<Context, "client" | "clock">,
  payer: number,
  batchId: string | null,
): Promise<Funds | undefined> {
  const now = ctx.clock.now();
  const [funds] = await readRows(ctx.client, fundsOf(payer, batchId, now));
  if (!funds || funds.budget === null || funds.spent < funds.budget) return funds;
  throw new AppError(
    "QUOTA_EXCEEDED",
    `The key that pays has spent ${funds.spent.toFixed(4)} of its ${funds.budget} USD of this month; raise monthlyBudgetUsd or wait for the next one`,
    { retryAfter: Math.ceil((nextMonth(now) - now) / 1000) },
  );
}

type Requested = { model: string; endpoint: Endpoint };

/**
 * Whether the price of a call at its first provider is known. At an endpoint that may not charge for tokens it is not
 * if a call of the batch, or one that the budget of this month pays for, had an unknown cost, unless the model is free.
 */
function isPriced(
  { config, clock }: Context,
  { model, endpoint }: Requested,
  { budget, unpriced, unpricedOfKey }: Funds,
): boolean {
  const [route] = routesOf(config, model);
  const provider = config.providers[route?.provider ?? 0];
  const price = provider ? knownPrice(provider, model, clock.now()) : "unknown";
  const isKept = unpriced === 0 && (budget === null || unpricedOfKey === 0);
  return price === "free" || (price === "known" && (isCounted(endpoint) || isKept));
}

/** Clears the alerts of keys that have budget again, because of a new month or a larger budget. */
export async function watchBudgets(ctx: Context): Promise<void> {
  for (const { id } of await readRows(ctx.client, solventAgain(ctx.clock.now())))
    await clearAlert(ctx, "budget.exceeded", id);
}

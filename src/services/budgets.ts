import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { nextMonth, overBudget, solventAgain } from "../store/budgets.ts";
import { rowsOf } from "../store/rows.ts";
import { clearAlert } from "./alerts.ts";
import type { Caller } from "./caller.ts";

/** Throws `QUOTA_EXCEEDED` where the caller's key has spent its `monthlyBudgetUsd`. */
export async function requireBudget(
  ctx: Pick<Context, "client" | "clock">,
  caller: Caller,
): Promise<void> {
  const now = ctx.clock.now();
  const { rows } = await ctx.client.execute(overBudget(caller.key, now));
  const [row] = rows;
  if (!row) return;
  throw new AppError(
    "QUOTA_EXCEEDED",
    `This key has spent ${Number(row["spent"]).toFixed(4)} of its ${String(row["budget"])} USD of this month; raise monthlyBudgetUsd or wait for the next one`,
    { retryAfter: Math.ceil((nextMonth(now) - now) / 1000) },
  );
}

/** Tells that all is clear of keys that have money again, because of a new month or a larger budget. */
export async function watchBudgets(ctx: Context): Promise<void> {
  for (const { id } of rowsOf<{ id: string }>(
    await ctx.client.execute(solventAgain(ctx.clock.now())),
  ))
    await clearAlert(ctx, "budget.exceeded", id);
}

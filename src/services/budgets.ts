import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { monthOf, overBudget } from "../store/budgets.ts";
import type { Caller } from "./caller.ts";

/** Throws `QUOTA_EXCEEDED` where the caller's key has spent its `monthlyBudgetUsd`. */
export async function requireBudget(
  ctx: Pick<Context, "client" | "now">,
  caller: Caller,
): Promise<void> {
  const now = ctx.now();
  const { rows } = await ctx.client.execute(overBudget(caller.key, now));
  const [row] = rows;
  if (!row) return;
  const [year, month] = monthOf(now).split("-").map(Number);
  const next = Date.UTC(year ?? 0, month ?? 0);
  throw new AppError(
    "QUOTA_EXCEEDED",
    `This key has spent ${Number(row["spent"]).toFixed(4)} of its ${String(row["budget"])} USD of this month; raise monthlyBudgetUsd or wait for the next one`,
    { retryAfter: Math.ceil((next - now) / 1000) },
  );
}

/*
 * What the answers of a run took that were not good enough stands in its row of the queue (`earlier_…`), from
 * the commit that put the run back. Batches and keys are charged in that same commit. The execution says what
 * the whole run took; so what its end adds to sums is that, less what was charged earlier.
 */

const AMOUNTS = [
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "reasoning_tokens",
] as const;
type Amount = (typeof AMOUNTS)[number] | "cost_usd";

const earlier = (amount: Amount) => `q.earlier_${amount === "cost_usd" ? "usd" : amount}`;

/** SQL for what a run took in all, of what its last call took; `NULL` where nothing is known of either. */
export function inAll(amount: Amount, last: string): string {
  const isNothing = `${last} IS NULL AND q.earlier_prompt_tokens = 0`;
  return `iif(${isNothing}, NULL, coalesce(${last}, 0) + ${earlier(amount)})`;
}

/** SQL for what the last call of a run took, of its execution `e` and its row `q` of the queue. */
export function ofLastCall(amount: Amount): string {
  return `(e.${amount} - ${earlier(amount)})`;
}

/** SQL for what a run took that is cancelled: prompt, completion, cached and reasoning tokens, and USD. */
export const EARLIER_AMOUNTS = [...AMOUNTS, "cost_usd" as const]
  .map((amount) => inAll(amount, "NULL"))
  .join(", ");

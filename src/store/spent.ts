/*
 * The usage of failed calls of a run, and of answers that were not good enough, is kept in its row of the queue (`earlier_…`), from the
 * commit that requeued the run. Batches and keys are charged in that same commit. The execution shows the usage of
 * the whole run, so at its end only the rest is added to the sums.
 */

const AMOUNTS = [
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "reasoning_tokens",
] as const;
type Amount = (typeof AMOUNTS)[number] | "cost_usd";

const earlier = (amount: Amount) => `q.earlier_${amount === "cost_usd" ? "usd" : amount}`;

/** SQL for the usage of a whole run, given that of its last call; `NULL` if neither is known. */
export function inAll(amount: Amount, last: string): string {
  const isNothing = `${last} IS NULL AND q.earlier_prompt_tokens = 0`;
  return `iif(${isNothing}, NULL, coalesce(${last}, 0) + ${earlier(amount)})`;
}

/**
 * SQL for the cost of a whole run, given the prompt tokens and the cost of its last call. `NULL` if that call was answered
 * and its price is unknown, because the cost of the others alone would be too low.
 */
export function costInAll(lastPrompt: string, lastUsd: string): string {
  return `iif(${lastPrompt} IS NOT NULL AND ${lastUsd} IS NULL, NULL, ${inAll("cost_usd", lastUsd)})`;
}

/** SQL for the usage of a run's last call, from its execution `e` and its row `q` of the queue. */
export function ofLastCall(amount: Amount): string {
  return `(e.${amount} - ${earlier(amount)})`;
}

/** SQL for the usage of a cancelled run: prompt, completion, cached and reasoning tokens, and USD. */
export const EARLIER_AMOUNTS = [...AMOUNTS, "cost_usd" as const]
  .map((amount) => inAll(amount, "NULL"))
  .join(", ");

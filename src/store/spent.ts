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
 * SQL for `cost_usd` and `known_usd` of a whole run, given the prompt tokens and the cost of its last call. If the cost of
 * any call is unknown, so is that of the run, because the cost of the others alone would be too low: it is `NULL`, and
 * `known_usd` is the cost of the others.
 */
export function costsInAll(lastPrompt: string, lastUsd: string): string {
  const isUnknown = `q.earlier_unpriced > 0 OR (${lastPrompt} IS NOT NULL AND ${lastUsd} IS NULL)`;
  const known = inAll("cost_usd", lastUsd);
  return `iif(${isUnknown}, NULL, ${known}), iif(${isUnknown}, ${known}, NULL)`;
}

/** SQL for the usage of a run's last call, from its execution `e` and its row `q` of the queue. */
export function ofLastCall(amount: Amount): string {
  return `(${amount === "cost_usd" ? KNOWN_COST : `e.${amount}`} - ${earlier(amount)})`;
}

/** SQL for the known part of the cost of an execution `e`. */
export const KNOWN_COST = "coalesce(e.cost_usd, e.known_usd)";

/** SQL that is true if the cost of a real run is unknown because of its last call; the others are counted already. */
export const LAST_IS_UNPRICED =
  "(NOT e.is_dry_run AND q.earlier_unpriced = 0 AND e.prompt_tokens IS NOT NULL AND e.cost_usd IS NULL)";

/** SQL for the usage of a cancelled run: prompt, completion, cached and reasoning tokens, and the two costs. */
export const EARLIER_AMOUNTS = [
  ...AMOUNTS.map((amount) => inAll(amount, "NULL")),
  costsInAll("NULL", "NULL"),
].join(", ");

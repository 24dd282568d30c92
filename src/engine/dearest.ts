import type { Tally } from "../store/rollups.ts";

/** How many payers are remembered; for others the cost is written again. */
const MOST_PAYERS = 10_000;

/** The cost of the dearest call of each payer that this process has committed. */
export function createDearest() {
  const known = new Map<number, number>();
  return {
    /** The costs among these tallies that exceed all earlier ones. */
    plan(tallies: Tally[]): { news: [payer: number, usd: number][]; committed(): void } {
      const news = new Map<number, number>();
      for (const { apiKey, dearestUsd } of tallies)
        if (apiKey > 0 && dearestUsd > (news.get(apiKey) ?? known.get(apiKey) ?? 0))
          news.set(apiKey, dearestUsd);
      return {
        news: [...news],
        committed() {
          if (known.size > MOST_PAYERS) known.clear();
          for (const [payer, usd] of news) known.set(payer, usd);
        },
      };
    },
  };
}

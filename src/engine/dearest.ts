import type { Tally } from "../store/rollups.ts";

/** Payers that are remembered; what others' calls cost is written again. */
const MOST_PAYERS = 10_000;

/** What the dearest call of each payer cost, of those that this process has committed. */
export function createDearest() {
  const known = new Map<number, number>();
  return {
    /** What is dearer than all before, of runs that were added up. */
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
